"""The generated parts of docs/program.md: what exchanging the GRU in a recurrent PPO loop changes."""

import difflib
from pathlib import Path

from decision import in_one_piece, table_of
from trigru.bench.reporting.numbers import format_interval, format_time
from trigru.bench.reporting.provenance import load_warnings
from trigru.bench.studies.program.comparison import BOUND, OWN
from trigru.bench.studies.ratios import Ratio, ratio_of
from trigru.bench.studies.record import DUPLICATE, StudyRecord, load_study

PACKAGES = ("python", "jax", "flax", "equinox", "gymnax")
NOT_MEASURED = "Not measured yet: `python -m trigru.bench.studies {} docs/results/{}.json`, on an idle machine."
SOURCES = Path(__file__).parents[1] / "bench" / "studies" / "program"
TITLES = {
    OWN: "its own scan of `nn.GRUCell`",
    "linen": "`trigru.impls.linen.GRU`",
    "linen:fused": '`trigru.impls.linen.GRU(kernel="fused")`',
    "equinox": "in Equinox, `trigru.impls.equinox.GRU`",
    "equinox:fused": 'in Equinox, `trigru.impls.equinox.GRU(kernel="fused")`',
}


def study(path: Path) -> StudyRecord | None:
    """The record of a study, or None if there is none yet. A short one is not to be published."""
    if not path.exists():
        return None
    record = load_study(path)
    if record.short:
        raise SystemExit(f"docs/results/{path.name} is of a short run: not to be published.")
    return record


def ratio_cell(found: Ratio) -> str:
    """A ratio with its interval, in round brackets where it is indistinguishable from 1."""
    shown = format_interval(found.ratio)
    return in_one_piece(f"({shown})" if found.verdict == "indistinguishable" else shown)


def origin(record: StudyRecord) -> str:
    """When, where and with what a study was measured, with warnings."""
    machine = record.machine
    versions = ", ".join(f"{name} {machine.versions[name]}" for name in PACKAGES if name in machine.versions)
    measured = f"{record.datetime[:10]}, {machine.device} ({machine.threads} threads); {versions}."
    return " ".join([measured, *load_warnings(record)])


def times(results: Path) -> str:
    """The time of an update with each GRU."""
    record = study(results / "program.json")
    if record is None:
        return NOT_MEASURED.format("program", "program")
    rows = []
    for arm in record.time_s:
        if arm == DUPLICATE:
            continue
        found = ratio_of(record, arm)
        ratio = "1" if arm == OWN else ratio_cell(found)
        rows.append((TITLES[arm], in_one_piece(format_time(found.time_s)), ratio))
    s = record.settings
    return "\n\n".join(
        [
            table_of(("the agent's GRU", "an update", "/ its own scan"), rows),
            "Median, then the ratio with its 95 % interval; in round brackets if it is indistinguishable from 1.",
            f"`{s['environment']}`, {s['environments']} environments, {s['steps']} steps, {s['epochs']} epochs of "
            f"{s['minibatches']} minibatches, {s['hidden']} units, float32. {origin(record)}",
        ]
    )


def equal(results: Path) -> str:
    """What was shown before anything was timed."""
    record = study(results / "program.json")
    if record is None:
        return NOT_MEASURED.format("program", "program")
    outputs = max(s.error for s in record.shown if s.bound == BOUND)
    trained = max(s.error for s in record.shown if s.what.startswith("embedding"))
    returns = record.curves["mean return"]
    updates = record.settings["updates"]
    return (
        f"In float64, with the same parameters, logits and values of all agents are within {outputs:.1g} of each "
        f"other, relative to the largest. Over {updates} updates every episode of every agent returned the same: "
        f"{sum(record.curves['episodes']):.0f} episodes, with a mean return from {returns[0]:.1f} in the first update "
        f"to {returns[-1]:.1f} in the last. After them, the parameters of the first layer are within {trained:.1g}."
    )


def finding(results: Path) -> str:
    """The sentence that the README has; empty before it is measured."""
    record = study(results / "program.json")
    if record is None:
        return ""
    stock, fused = (ratio_of(record, arm) for arm in ("linen", "linen:fused"))
    return (
        f"**In somebody's program:** in a [recurrent PPO loop](docs/program.md), trigru's GRU takes the place of a "
        f"scan of one's own in {_changed()} lines and learns the same. With the stock cell, an update takes "
        f"{_said(stock)}; with the fused kernel, {_said(fused)} (jax {record.machine.versions['jax']})."
    )


def _said(found: Ratio) -> str:
    shown = in_one_piece(format_interval(found.ratio))
    return f"{shown} times as long" if found.verdict != "indistinguishable" else f"indistinguishably long ({shown})"


def difference() -> str:
    """The lines that change when the agent's own scan is exchanged."""
    return "```diff\n" + "\n".join(_diff()) + "\n```"


def lines() -> str:
    """How many lines change."""
    found = _diff()
    minus, plus = (sum(line.startswith(sign) for line in found) for sign in "-+")
    return f"{minus} lines go and {plus} come:"


def _changed() -> int:
    return sum(line[0] in "-+" for line in _diff() if line)


def _diff() -> list[str]:
    """Without the docstring of the module, and without the names of the files."""
    own, exchanged = (_code(name) for name in ("own", "exchanged"))
    found = difflib.unified_diff(own, exchanged, lineterm="", n=2)
    return [line for line in found if not line.startswith(("---", "+++"))]


def _code(name: str) -> list[str]:
    text = (SOURCES / f"{name}.py").read_text(encoding="utf-8").split('"""', 2)[2].strip()
    return text.replace("\n\nfrom ....impls", "\nfrom trigru.impls").splitlines()

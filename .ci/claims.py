"""The tables of docs/claims.md: what was said of the frameworks in public, measured like for like."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from decision import SITUATIONS, in_one_piece, table_of
from program import NOT_MEASURED, origin, ratio_cell, study
from trigru.bench.analysis.answer import Answer, Difference, Row, answer
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.answer import name_of as name_of_port
from trigru.bench.reporting.numbers import format_interval, format_time_range
from trigru.bench.reporting.provenance import origin_lines
from trigru.bench.results.files import load
from trigru.bench.studies.parameters import FRAMEWORKS, name_of
from trigru.bench.studies.ratios import ratio_of
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

#: The verdict on the second of two arms, by that on the first.
TURNED = {"faster": "slower", "slower": "faster", "indistinguishable": "indistinguishable"}
#: Why two arms differ, by the cause that a run found.
CAUSES = {
    "none": "no difference shown",
    "boundary": "the same program; the call costs more",
    "program": "another program",
    "style": "another program, called in another way",
    "unexplained": "not explained",
    "unread": "a program could not be read",
    "equations": "other equations",
}


@cache
def published(results: Path) -> Answer:
    """The answer of the published run."""
    return answer(load(results / "cpu.json.gz"))


def two_frameworks(results: Path, one: str, other: str) -> str:
    """The ratio of two frameworks in each situation, as documented and called alike, and the cause of what is left."""
    rows = []
    for text, row in _situations(results):
        documented, alike = (between(row, way, one, other) for way in (DOCUMENTED, FUNCTIONAL))
        (cause,) = (d.cause for d in row.pairs[FUNCTIONAL] if {_port(d.one), _port(d.other)} == {one, other})
        rows.append((text, _cell(*documented), _cell(*alike), CAUSES[cause]))
    head = "situation", "as documented", "called alike", "why, called alike"
    spans = [
        [between(row, way, one, other)[0].ratio for _, row in _situations(results)] for way in (DOCUMENTED, FUNCTIONAL)
    ]
    documented, alike = (f"{min(span):.2f} to {max(span):.2f}" for span in spans)
    said = (
        f"In these rows, {name_of_port(one)} takes {documented} times as long as {name_of_port(other)} as documented, "
        f"and {alike} times called alike."
    )
    return f"{table_of(head, rows)}\n\n{said}"


def two_styles(results: Path, port: str) -> str:
    """What the documented call style of a framework takes beyond its functional one."""
    rows = []
    for text, row in _situations(results):
        d = row.styles[port]
        rows.append((text, in_one_piece(_difference(d)), _cell(*_own(d)), CAUSES[d.cause]))
    one, other = _situations(results)[0][1].styles[port].one, _situations(results)[0][1].styles[port].other
    head = "situation", "difference of a call", f"`{_style(one)}` / `{_style(other)}`", "why"
    return table_of(head, rows)


def parameters(results: Path) -> str:
    """The time of each program on the parameters that each framework draws."""
    record = study(results / "claims.json")
    if record is None:
        return NOT_MEASURED.format("parameters", "claims")
    rows = []
    for program in FRAMEWORKS:
        theirs, own = (name_of(program, drawn_by) for drawn_by in reversed(FRAMEWORKS))
        rows.append((f"the program of {name_of_port(program)}", ratio_cell(ratio_of(record, theirs, own))))
    for drawn_by in FRAMEWORKS:
        one, other = (name_of(program, drawn_by) for program in reversed(FRAMEWORKS))
        rows.append(
            (f"both programs, parameters drawn by {name_of_port(drawn_by)}", ratio_cell(ratio_of(record, one, other)))
        )
    first, second = map(name_of_port, FRAMEWORKS)
    what = [f"{second}'s parameters / {first}'s"] * 2 + [f"{second} / {first}"] * 2
    table = table_of(("measured", "ratio of", "ratio"), [(r[0], w, r[1]) for r, w in zip(rows, what, strict=True)])
    workload = record.settings["workload"]
    return f"{table}\n\nForward, `{workload}`, called alike. {origin(record)}"


def update(results: Path) -> str:
    """A PPO update with the agent in Equinox over that in linen."""
    record = study(results / "program.json")
    if record is None:
        return NOT_MEASURED.format("program", "program")
    rows = [
        (f"kernel {kernel}", ratio_cell(ratio_of(record, f"equinox{suffix}", f"linen{suffix}")))
        for kernel, suffix in (("`stock`", ""), ("`fused`", ":fused"))
    ]
    return f"{table_of(('update of PPO', 'Equinox / linen'), rows)}\n\n{origin(record)}"


def between(row: Row, way: str, one: str, other: str) -> tuple[Comparison, str]:
    """Time of one framework / time of another, and the verdict on the first."""
    (d,) = (d for d in row.pairs[way] if {_port(d.one), _port(d.other)} == {one, other})
    ratio, verdict = _own(d)
    return (ratio, verdict) if _port(d.one) == one else (ratio.inverse, TURNED[verdict])


def _own(d: Difference) -> tuple[Comparison, str]:
    return Comparison(d.ratio, d.low, d.high), d.verdict


def _situations(results: Path) -> list[tuple[str, Row]]:
    rows = {(str(row.workload), row.phase): row for row in published(results).rows}
    return [(f"{text} (`{workload}`)", rows[workload, phase]) for text, workload, phase in SITUATIONS]


def _port(name: str) -> str:
    return name.partition("[")[0]


def _style(name: str) -> str:
    return name.partition("[")[2].rstrip("]")


def _cell(ratio: Comparison, verdict: str) -> str:
    shown = format_interval(ratio, 2)
    return in_one_piece(f"({shown})" if verdict == "indistinguishable" else shown)


def _difference(d: Difference) -> str:
    """Seconds by which one takes longer, with the interval; nothing where no difference was shown."""
    if not d.is_real:
        return "none shown"
    if d.difference_s < 0:
        return f"{format_time_range(-d.difference_s, -d.difference_high_s, -d.difference_low_s)} less"
    return f"+{format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)}"


def source(results: Path) -> str:
    """What the tables mean, and where their numbers are from."""
    brackets = "Ratios have their 95 % interval, and are in round brackets if they are indistinguishable from 1."
    return "\n\n".join([brackets, *origin_lines(load(results / "cpu.json.gz"))])


PARTS: dict[str, Callable[[Path], str]] = {
    "claim-nnx-equinox": lambda results: two_frameworks(results, "nnx", "equinox"),
    "claim-equinox-linen": lambda results: two_frameworks(results, "equinox", "linen"),
    "claim-parameters": parameters,
    "claim-update": update,
    "claim-nnx-state": lambda results: two_styles(results, "nnx"),
    "claim-source": source,
    "claim-filter-jit": lambda results: two_styles(results, "equinox"),
}

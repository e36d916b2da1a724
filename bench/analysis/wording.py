"""The words of a run against its records: its command, and the reasons why arms have no number.

Each function yields a sentence for each contradiction; `trigru.bench.analysis.evidence` calls them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from ...common.gru.kernels import STOCK
from ..arms.workloads import workload_of
from ..results.arm import NOT_PROVEN, Plan
from ..results.proof import passes
from ..results.run import Run
from ..timing.supervisor import NO_BASELINE

#: The commands that measure a run, under their names in all versions, and those that measure none.
_MEASURING = ("compare", "bench")
_OTHERS = ("verify", "convert", "snapshot", "matrix", "report", "diff", "bisect")
#: Options of the former with one value: what the plan has of each, and what it has where the option is not given; None
#: where that depends on other options.
_OPTIONS: dict[str, tuple[Callable[[Plan], str], str | None]] = {
    "--dtype": (lambda plan: plan.dtype, "float32"),
    "--precision": (lambda plan: plan.precision, "highest"),
    "--processes": (lambda plan: str(plan.processes), None),
}
_SIZES = ("batch", "time", "inputs", "hidden")


def reasons(run: Run) -> Iterator[str]:
    """The reason why an arm has no number is borne out, where it is about what the file has, too."""
    proof = run.begun.equality
    failed = {(m.port, m.kernel) for m in proof or () if not passes(m)}
    measured = Counter(t.arm for line in run.groups_timed for t in line.timed)
    for name, untimed in run.untimed.items():
        arm, reason = untimed.arm, untimed.reason
        if proof and reason.startswith(NOT_PROVEN) and not {(arm.port, STOCK), (arm.port, arm.kernel)} & failed:
            yield f"{name} has no number since it is not proven equal, and its proof passes"
        compared = [a.id for a in run.groups()[arm.group] if a.role in ("baseline", "duplicate")]
        has_both = all(a not in run.untimed and measured[a] == run.plan.processes for a in compared)
        if reason == NO_BASELINE and has_both:
            yield f"{name} has no number for lack of a baseline, which was measured"


def command(run: Run) -> Iterator[str]:
    """The plan is that of the command."""
    words = run.begun.command
    named = next((word for word in words[1:] if not word.startswith("-")), "")
    if named in _OTHERS:
        yield f"its command is trigru {named}, which measures no run"
    if named not in _MEASURING:
        return
    for option, (planned, default) in _OPTIONS.items():
        asked = [default, *_values(words, option)][-1]
        if asked is not None and asked != planned(run.plan):
            yield f"the {option[2:]} of its plan is {planned(run.plan)}, and of its command {asked}"
    workloads = [workload_of(arm) for arm in run.begun.arms]
    known = [
        {"batch": w.batch_size, "time": w.time, "inputs": w.input_size, "hidden": w.hidden_size} for w in workloads
    ]
    for text in (*_values(words, "--size"), *_values(words, "--sweep")):
        for size, value in re.findall(rf"({'|'.join(_SIZES)})=(\d+)", text):
            if known and all(sizes[size] != int(value) for sizes in known):
                yield f"its command asks for {size}={value}, which no arm has"


def _values(words: list[str], option: str) -> Iterator[str]:
    """The values that a command gives for an option."""
    yield from (after for word, after in pairwise(words) if word == option)
    yield from (word.partition("=")[2] for word in words if word.startswith(option + "="))

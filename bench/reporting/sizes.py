"""The sizes of workloads in words, and what tells some of them apart."""

from collections.abc import Sequence

from ...common.errors import listed
from ..analysis.answer import AnswerRow
from ..arms.workloads import Workload, get_workload
from ..results.arm import Arm
from .numbers import count

#: What tells workloads apart, the first that does.
SIZES = {
    "batch_size": "sequence",
    "hidden_size": "unit",
    "time": "step",
    "input_size": "input",
}


def in_words(row: AnswerRow | Arm) -> str:
    """The sizes of a row or an arm, as "1 sequence of 50 steps, 20 inputs, 200 units".

    One step has no number of steps.
    """
    workload = get_workload(row.workload)
    sequences = count(workload.batch_size, "sequence")
    if row.phase != "step":
        steps = count(workload.time, "step")
        up_to = "up to " if workload.is_speech else ""
        sequences = f"{sequences} of {up_to}{steps}"
    inputs = count(workload.input_size, "input")
    units = count(workload.hidden_size, "unit")
    return f"{sequences}, {inputs}, {units}"


def where(chosen: Sequence[AnswerRow], rows: Sequence[AnswerRow]) -> str:
    """What tells the chosen ones among rows, in their order: "with 8 and 200 units".

    The number of units stands beside another size, if it is another one in each row.
    """
    workloads = {id(row): get_workload(row.workload) for row in rows}
    size = _telling_apart(list(workloads.values()))
    if size is None:
        return f"with {listed([in_words(row) for row in chosen])}"
    numbers = [getattr(workloads[id(row)], size) for row in chosen]
    noun = count(max(numbers), SIZES[size]).partition(" ")[2]
    text = f"with {listed(map(str, numbers))} {noun}"
    all_units = {workload.hidden_size for workload in workloads.values()}
    if size != "hidden_size" and len(all_units) == len(rows):
        units = [workloads[id(row)].hidden_size for row in chosen]
        text += f" and {listed(map(str, units))} {SIZES['hidden_size']}s"
    return text


def _telling_apart(workloads: Sequence[Workload]) -> str | None:
    """The first of SIZES that is another in each workload; None if none is."""
    for size in SIZES:
        if len({getattr(workload, size) for workload in workloads}) == len(workloads):
            return size
    return None

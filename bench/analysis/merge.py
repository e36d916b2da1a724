"""The arms of a run, made of its records: ratios, noise floors and verdicts are computed here, and stored nowhere."""

from collections.abc import Iterator
from pathlib import Path

from ...common.errors import TrigruError, UnknownNameError, brief
from ..results.arm import NO_BASELINE, Arm, Untimed
from ..results.files import ResultsFileError, read
from ..results.record import Benchmark, Results
from ..results.run import PARTIAL, Journal, Run, Timed
from .evidence import check_evidence
from .pairs import judged


def load(path: Path) -> Results:
    """The run of a results file or a folder, or of a journal as far as it came.

    Raises a TrigruError if it cannot be read, or contradicts itself.
    """
    run = Journal.read(path) if path.suffix == Path(PARTIAL).suffix else read(path)
    try:
        check_evidence(run)
        return merge(run)
    except (ValueError, UnknownNameError) as error:  # the latter of a workload, as of another version
        raise ResultsFileError(f"{path} contradicts itself, so nothing of it is shown: {brief(error)}.") from error


def merge(run: Run) -> Results:
    """What a run shows. Raises a TrigruError if it has nothing, not even a reason why."""
    if not run.started and not run.reasons:
        raise TrigruError("nothing was measured.")
    found: list[Benchmark | Untimed] = []
    for group, arms in run.groups().items():
        timed = {line.process: line.timed for line in run.groups_timed if line.group == group}
        found += _of_group(arms, timed, run.reasons)
    benchmarks = [arm for arm in found if isinstance(arm, Benchmark)]
    return Results(run, benchmarks, [arm for arm in found if isinstance(arm, Untimed)])


def _of_group(
    arms: list[Arm], timed: dict[int, list[Timed]], untimed: dict[str, Untimed]
) -> Iterator[Benchmark | Untimed]:
    """The arms of a group. One that has no number in one process has none at all."""
    seen = {arm.id: {p: t for p, of_process in timed.items() for t in of_process if t.arm == arm.id} for arm in arms}
    there = [arm for arm in arms if arm.id not in untimed and len(seen[arm.id]) == len(timed) > 0]
    if not {"baseline", "duplicate"} <= {arm.role for arm in there}:
        was_tried = timed or any(arm.id in untimed for arm in arms if arm.role != "arm")
        yield from (untimed.get(arm.id) or Untimed(arm, NO_BASELINE) for arm in arms if was_tried or arm.id in untimed)
        return
    for arm in arms:
        if arm not in there:
            reason = untimed[arm.id].reason if arm.id in untimed else "not measured in every process"
            lost_later = arm.id in untimed and bool(seen[arm.id])  # though others timed it
            yield Untimed(arm, f"in one process: {reason}" if lost_later else reason)
    yield from judged([(arm, seen[arm.id]) for arm in there])

"""The arms of a run, made of its records: ratios, noise floors and verdicts are computed here, and stored nowhere."""

from collections import defaultdict
from pathlib import Path

from ...common.errors import TrigruError, UnknownNameError, brief
from ..results.arm import NO_BASELINE, Untimed
from ..results.files import PARTIAL, Journal, ResultsFileError, read
from ..results.run import Benchmark, Results, Run, Timed
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
    """What a run shows. Raises a TrigruError if it has nothing, not even a reason why.

    An arm that has no number in one process has none at all; nor has any arm without the baseline and its duplicate.
    """
    reasons, benchmarks, untimed = run.reasons, list[Benchmark](), list[Untimed]()
    if not run.started and not reasons:
        raise TrigruError("nothing was measured.")
    for group, arms in run.groups().items():
        lines = [line for line in run.groups_timed if line.group == group]
        lines.sort(key=lambda line: line.process)  # whichever process was the first to end
        seen = defaultdict[str, dict[int, Timed]](dict)  # by the arm's id, then by process
        for line in lines:
            for t in line.timed:
                seen[t.arm][line.process] = t
        there = [arm for arm in arms if lines and arm.id not in reasons and len(seen[arm.id]) == len(lines)]
        if not {"baseline", "duplicate"} <= {arm.role for arm in there}:
            was_tried = lines or any(arm.id in reasons for arm in arms if arm.role != "arm")
            without = (arm for arm in arms if was_tried or arm.id in reasons)
            untimed += [reasons.get(arm.id) or Untimed(arm, NO_BASELINE) for arm in without]
            continue
        for arm in arms:
            if arm not in there:
                reason = reasons[arm.id].reason if arm.id in reasons else "not measured in every process"
                lost_later = arm.id in reasons and bool(seen[arm.id])  # though others timed it
                untimed.append(Untimed(arm, f"in one process: {reason}" if lost_later else reason))
        benchmarks += judged([(arm, seen[arm.id]) for arm in there])
    return Results(run, benchmarks, untimed)

"""From a run to what it shows: the arms with a number, and those without."""

from collections.abc import Sequence, Set
from pathlib import Path

from ...common.errors import InputError, TrigruError, UnknownNameError, brief
from ..arms.workloads import get_workload
from ..results.arm import NO_BASELINE, OTHER_CLOCK, Arm, Untimed
from ..results.files import PARTIAL, Journal, ResultsFileError, read
from ..results.grouping import grouped
from ..results.run import Run
from .benchmarks import Benchmark, Results, judge


def load(path: Path) -> Results:
    """The run of a results file or a folder, or of a journal as far as it came.

    Raises a TrigruError if it cannot be read.
    """
    is_journal = path.suffix == Path(PARTIAL).suffix
    run = Journal.read(path).run if is_journal else read(path)
    try:
        for workload in run.plan.workloads:
            get_workload(workload)
        for arm in run.begun.arms:
            get_workload(arm.workload)
    except (UnknownNameError, InputError) as error:  # as of another version
        raise ResultsFileError(
            f"{path} cannot be shown by this version: {brief(error)}"
        ) from error
    return merge(run)


def merge(run: Run) -> Results:
    """What a run shows.

    An arm that has no number in one process has none at all; nor has any arm without the
    baseline and its duplicate. Raises a TrigruError if the run has nothing, not even a
    reason why.
    """
    reasons = run.reasons
    if not run.started and not reasons:
        raise TrigruError("nothing was measured.")
    samples = grouped(run.samples, lambda sample: sample.arm)
    facts = grouped(run.facts, lambda known: known.arm)
    benchmarks: list[Benchmark] = []
    untimed: list[Untimed] = []
    for arms in run.groups().values():
        tried = [arm for arm in arms if arm.id not in reasons]
        judged = judge(tried, samples, facts, run.clock)
        benchmarks += judged
        if judged:
            untimed += _left_out(run, arms, judged, timed_ids=samples.keys())
        else:
            untimed += _all_left_out(run, arms, timed_ids=samples.keys())
    return Results(run, benchmarks, untimed)


def _left_out(
    run: Run, arms: Sequence[Arm], judged: Sequence[Benchmark], timed_ids: Set[str]
) -> list[Untimed]:
    """The arms without a number of a group that has some, with the reasons."""
    reasons = run.reasons
    judged_ids = {b.arm.id for b in judged}
    untimed = []
    for arm in arms:
        if arm.id in judged_ids:
            continue
        if arm.id not in reasons:
            reason = "not measured in every process"
        elif arm.id in timed_ids:  # another process timed it
            reason = f"in one process: {reasons[arm.id].reason}"
        else:
            reason = reasons[arm.id].reason
        untimed.append(Untimed(arm, reason))
    return untimed


def _all_left_out(run: Run, arms: Sequence[Arm], timed_ids: Set[str]) -> list[Untimed]:
    """The arms of a group without any number, with the reasons.

    Of a group that nobody came to, arms without a reason of their own are not listed.
    """
    reasons = run.reasons
    was_tried = any(arm.id in timed_ids for arm in arms)
    for arm in arms:
        if arm.role != "arm" and arm.id in reasons:
            was_tried = True

    untimed = []
    for arm in arms:
        if arm.id in reasons:
            untimed.append(reasons[arm.id])
        elif was_tried:
            untimed.append(Untimed(arm, NO_BASELINE))
    return untimed


def judged_by_other_clock(benchmarks: Sequence[Benchmark]) -> dict[str, Benchmark]:
    """Arms of a group by the clock that does not lead, by id; see `judge`."""
    arms = [b.arm for b in benchmarks]
    samples = {b.arm.id: b.samples for b in benchmarks}
    facts = {b.arm.id: list(b.facts_by_process.values()) for b in benchmarks}
    judged = judge(arms, samples, facts, OTHER_CLOCK[benchmarks[0].clock])
    return {b.arm.id: b for b in judged}


def baseline_of(benchmarks: Sequence[Benchmark]) -> Benchmark:
    """The arm of a group that ratios are relative to."""
    return next(b for b in benchmarks if b.arm.is_baseline)

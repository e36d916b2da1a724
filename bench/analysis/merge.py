"""From a run to what it shows: the arms with a number, and those without."""

from collections.abc import Mapping, Sequence, Set
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

    An arm that has no number in one process has none at all; nor has any arm without
    the baseline and its duplicate. Raises a TrigruError if the run has nothing, not
    even a reason why.
    """
    reasons = run.reasons
    if not run.started and not reasons:
        raise TrigruError("nothing was measured.")
    samples = grouped(run.samples, lambda sample: sample.arm)
    facts = grouped(run.facts, lambda facts: facts.arm)
    benchmarks: list[Benchmark] = []
    untimed: list[Untimed] = []
    for arms in run.groups().values():
        tried = [arm for arm in arms if arm.id not in reasons]
        judged = judge(tried, samples, facts, run.clock)
        benchmarks += judged
        judged_ids = {b.arm.id for b in judged}
        left_out = [arm for arm in arms if arm.id not in judged_ids]
        if judged:
            untimed += _some_left_out(left_out, reasons, samples.keys())
        else:
            untimed += _all_left_out(left_out, reasons, samples.keys())
    return Results(run, benchmarks, untimed)


def _some_left_out(
    arms: Sequence[Arm], reasons: Mapping[str, Untimed], timed_ids: Set[str]
) -> list[Untimed]:
    """Why arms have no number whose group has some.

    Args:
        reasons: by arm, as far as there are any.
        timed_ids: arms that at least one process timed.
    """
    untimed = []
    for arm in arms:
        reason = "not measured in every process"
        if arm.id in reasons:
            reason = reasons[arm.id].reason
            if arm.id in timed_ids:
                reason = f"in one process: {reason}"
        untimed.append(Untimed(arm, reason))
    return untimed


def _all_left_out(
    arms: Sequence[Arm], reasons: Mapping[str, Untimed], timed_ids: Set[str]
) -> list[Untimed]:
    """Why the arms of a group have no number; see `_some_left_out`.

    Of a group that nobody came to, arms without a reason of their own are not listed.
    """
    was_tried = any(arm.id in timed_ids for arm in arms)
    was_tried |= any(arm.role != "arm" and arm.id in reasons for arm in arms)
    untimed = []
    for arm in arms:
        if arm.id in reasons:
            untimed.append(reasons[arm.id])
        elif was_tried:
            untimed.append(Untimed(arm, NO_BASELINE))
    return untimed


def judged_by_other_clock(benchmarks: Sequence[Benchmark]) -> dict[str, Benchmark]:
    """Arms of a group by the clock that does not lead, by id; see `judge`."""
    arms = []
    samples = {}
    facts = {}
    for b in benchmarks:
        arms.append(b.arm)
        samples[b.arm.id] = b.samples
        facts[b.arm.id] = list(b.facts_by_process.values())
    judged = judge(arms, samples, facts, OTHER_CLOCK[benchmarks[0].clock])
    return {b.arm.id: b for b in judged}


def baseline_of(benchmarks: Sequence[Benchmark]) -> Benchmark:
    """The arm of a group that ratios are relative to."""
    return next(b for b in benchmarks if b.arm.is_baseline)

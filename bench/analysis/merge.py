"""The arms of a run, made of its records: ratios, noise floors and verdicts are computed here, and stored nowhere."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import astuple, replace

from ...common.errors import TrigruError, UnknownNameError, brief
from ..arms.workloads import get_workload, work_of
from ..results.arm import NO_BASELINE, OTHER_CLOCK, Arm, Untimed
from ..results.files import PARTIAL, Journal, ResultsFileError, read
from ..results.run import Benchmark, Results, Run, Timed
from .evidence import check_evidence
from .statistics import compare, noise_floor, verdict


def load(path: Path) -> Results:
    """The run of a results file or a folder, or of a journal as far as it came.

    Raises a TrigruError if it cannot be read, or contradicts itself.
    """
    run = Journal.read(path) if path.suffix == Path(PARTIAL).suffix else read(path)
    try:
        check_evidence(run)
        return merge(run)
    except (
        ValueError,
        UnknownNameError,
    ) as error:  # the latter of a workload, as of another version
        raise ResultsFileError(
            f"{path} contradicts itself, so nothing of it is shown: {brief(error)}."
        ) from error


def merge(run: Run) -> Results:
    """What a run shows. Raises a TrigruError if it has nothing, not even a reason why.

    An arm that has no number in one process has none at all; nor has any arm without the baseline and its duplicate.
    """
    reasons, benchmarks, untimed = run.reasons, list[Benchmark](), list[Untimed]()
    if not run.started and not reasons:
        raise TrigruError("nothing was measured.")
    for group, arms in run.groups().items():
        lines = [line for line in run.groups_timed if line.group == group]
        lines.sort(
            key=lambda line: line.process
        )  # whichever process was the first to end
        seen = defaultdict[str, dict[int, Timed]](
            dict
        )  # by the arm's id, then by process
        for line in lines:
            for t in line.timed:
                seen[t.arm][line.process] = t
        there = [
            arm
            for arm in arms
            if lines and arm.id not in reasons and len(seen[arm.id]) == len(lines)
        ]
        if not {"baseline", "duplicate"} <= {arm.role for arm in there}:
            was_tried = lines or any(
                arm.id in reasons for arm in arms if arm.role != "arm"
            )
            without = (arm for arm in arms if was_tried or arm.id in reasons)
            untimed += [
                reasons.get(arm.id) or Untimed(arm, NO_BASELINE) for arm in without
            ]
            continue
        for arm in arms:
            if arm not in there:
                reason = (
                    reasons[arm.id].reason
                    if arm.id in reasons
                    else "not measured in every process"
                )
                lost_later = arm.id in reasons and bool(
                    seen[arm.id]
                )  # though others timed it
                untimed.append(
                    Untimed(arm, f"in one process: {reason}" if lost_later else reason)
                )
        benchmarks += judged([(arm, seen[arm.id]) for arm in there])
    return Results(run, benchmarks, untimed)


def judged(arms: Sequence[tuple[Arm, dict[int, Timed]]]) -> list[Benchmark]:
    """Arms of a group with their samples, by process, against its baseline; its duplicate shows the noise floor."""
    time_s = [np.concatenate([t.time_s for t in timed.values()]) for _, timed in arms]
    at = {arm.role: number for number, (arm, _) in enumerate(arms)}
    process = [
        number for number, t in arms[at["baseline"]][1].items() for _ in t.time_s
    ]
    ratios = [compare(own_s, time_s[at["baseline"]], process) for own_s in time_s]
    floor = noise_floor(ratios[at["duplicate"]], len({*process}))
    found = []
    for (arm, timed), r in zip(arms, ratios, strict=True):
        workload = get_workload(arm.workload)
        work = work_of(workload, arm.phase, arm.dtype)
        steps = workload.batch_size if arm.phase == "step" else workload.steps
        found.append(
            Benchmark(
                *astuple(r),
                arm=arm,
                timed=timed,
                shape=workload.shape,
                steps=steps,
                flops=work.flops,
                moved_bytes=work.moved_bytes,
                floor=floor,
                verdict=verdict(r, floor, process),
            )
        )
    return found


def judged_by_other_clock(benchmarks: Sequence[Benchmark]) -> dict[str, Benchmark]:
    """Arms of a group by the clock that does not lead, by id: those with its rounds in every process. See `Timed`."""
    rounds = {
        b.arm.id: {number: len(t.other_s) for number, t in b.timed.items()}
        for b in benchmarks
    }
    wanted = rounds[baseline_of(benchmarks).arm.id]
    alike = [
        b for b in benchmarks if rounds[b.arm.id] == wanted and all(wanted.values())
    ]
    if not {"baseline", "duplicate"} <= {b.arm.role for b in alike}:
        return {}

    def turned(t: Timed) -> Timed:
        return replace(t, clock=OTHER_CLOCK[t.clock])

    return {
        b.arm.id: b
        for b in judged(
            [(b.arm, {n: turned(t) for n, t in b.timed.items()}) for b in alike]
        )
    }


def baseline_of(benchmarks: Sequence[Benchmark]) -> Benchmark:
    """The arm of a group that ratios are relative to."""
    return next(b for b in benchmarks if b.arm.is_baseline)

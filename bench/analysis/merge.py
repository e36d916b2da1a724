"""The arms of a run, made of its records: ratios, noise floors and verdicts are computed here, and stored nowhere."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ...common.errors import TrigruError, UnknownNameError, brief
from ..arms.workloads import work_of, workload_of
from ..results.arm import Arm, Untimed
from ..results.files import ResultsFileError, read
from ..results.record import Benchmark, Provenance, Results
from ..results.run import Machine, Run, Timed
from ..timing.supervisor import NO_BASELINE, PARTIAL, Journal
from .evidence import check_evidence
from .statistics import compare, noise_floor, verdict


def load(path: Path) -> Results:
    """The run of a results file or a folder, or of a journal as far as it came.

    Raises:
        TrigruError: it cannot be read, or contradicts itself.
    """
    run = Journal.read(path) if path.suffix == Path(PARTIAL).suffix else read(path)
    try:
        check_evidence(run)
        return merge(run)
    except (ValueError, UnknownNameError) as error:  # the latter of a workload, as of another version
        raise ResultsFileError(f"{path} contradicts itself, so nothing of it is shown: {brief(error)}.") from error


def merge(run: Run) -> Results:
    """What a run shows. Raises a TrigruError if it has nothing, not even a reason why."""
    begun, ended = run.begun, run.ended
    if not run.started and not run.reasons:
        raise TrigruError("nothing was measured.")
    # where no process started, the software with which the run began is known, and its machine is not
    machine = run.machine or Machine(begun.versions, "unknown machine", "unknown", 0, "", {}, begun.commit)
    benchmarks: list[Benchmark] = []
    untimed: list[Untimed] = []
    for group, arms in run.groups().items():
        timed = {line.process: line.timed for line in run.groups_timed if line.group == group}
        for found in _of_group(arms, timed, run.reasons):
            benchmarks += [found] if isinstance(found, Benchmark) else []
            untimed += [found] if isinstance(found, Untimed) else []
    provenance = Provenance(
        begun.command, run.plan, begun.equality, machine, [started.ceilings for started in run.started],
        begun.load, ended.load if ended else None, run.interruptions, run.complete,
    )  # fmt: skip
    return Results(benchmarks, ended.datetime if ended else datetime.now(UTC).isoformat(), provenance, untimed)


def _of_group(
    arms: list[Arm], timed: dict[int, list[Timed]], untimed: dict[str, Untimed]
) -> Iterator[Benchmark | Untimed]:
    """The arms of a group. One that has no number in one process has none at all."""
    seen = {arm.id: {p: t for p, of_process in timed.items() for t in of_process if t.arm == arm.id} for arm in arms}
    there = [arm for arm in arms if arm.id not in untimed and len(seen[arm.id]) == len(timed) > 0]
    compared = {arm.role: arm for arm in there if arm.role != "arm"}
    if len(compared) < 2:
        was_tried = timed or any(arm.id in untimed for arm in arms if arm.role != "arm")
        yield from (untimed.get(arm.id) or Untimed(arm, NO_BASELINE) for arm in arms if was_tried or arm.id in untimed)
        return
    for arm in arms:
        if arm not in there:
            reason = untimed[arm.id].reason if arm.id in untimed else "not measured in every process"
            process = min(timed.keys() - seen[arm.id].keys(), default=len(seen[arm.id]))
            lost_later = arm.id in untimed and bool(seen[arm.id])  # though others timed it
            yield Untimed(arm, f"in process {process + 1}: {reason}" if lost_later else reason)
    samples_s = {arm.id: np.concatenate([t.time_s for t in seen[arm.id].values()]) for arm in there}
    base = compared["baseline"].id
    process = [number for number, t in seen[base].items() for _ in t.time_s]
    ratios = {arm.id: compare(samples_s[arm.id], samples_s[base], process) for arm in there}
    floor = noise_floor(ratios[compared["duplicate"].id], len(set(process)))
    for arm in there:
        ratio, workload = ratios[arm.id], workload_of(arm)
        work = work_of(workload, arm.phase, arm.dtype)
        yield Benchmark(
            arm, seen[arm.id], workload.shape, workload.batch_size if arm.phase == "step" else workload.steps,
            work.flops, work.moved_bytes, ratio.ratio, ratio.low, ratio.high, floor, verdict(ratio, floor, process),
        )  # fmt: skip

"""The arms of a run, made of its records: ratios, noise floors and verdicts are computed here, and stored nowhere."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ...common.errors import TrigruError, UnknownNameError, brief
from ..arms.arms import packages_of_plan
from ..arms.workloads import work_of, workload_of
from ..results.arm import Arm, Untimed
from ..results.files import ResultsFileError, read
from ..results.record import Benchmark, Provenance, Results
from ..results.run import Run, Timed
from ..timing.journal import PARTIAL, Journal
from ..timing.machine import describe_machine
from ..timing.supervisor import NO_BASELINE
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
    except (ValueError, UnknownNameError) as error:  # the latter of a workload, as of another version
        raise ResultsFileError(f"{path} contradicts itself, so nothing of it is shown: {brief(error)}.") from error
    return merge(run)


def merge(run: Run) -> Results:
    """What a run shows. Raises a TrigruError if it has nothing, not even a reason why."""
    plan, begun, machine = run.plan, run.begun, run.machine
    if machine is None:
        if not run.untimed:
            raise TrigruError("nothing was measured.")
        machine = describe_machine(packages_of_plan(plan))  # no arm could be timed, so that no process was started
    benchmarks: list[Benchmark] = []
    untimed: list[Untimed] = []
    for group, arms in run.groups().items():
        timed = {line.process: line.timed for line in run.groups_timed if line.group == group}
        of_group, without = _merge_group(arms, timed, run.untimed)
        benchmarks += of_group
        untimed += without
    provenance = Provenance(
        command=begun.command,
        plan=plan,
        equality=begun.equality,
        machine=machine,
        ceilings=[started.ceilings for started in run.started],
        load_before=begun.load,
        load_after=run.ended.load if run.ended else None,
        interruptions=run.interruptions,
        complete=run.complete,
    )
    ended = run.ended.datetime if run.ended else datetime.now(UTC).isoformat()
    return Results(benchmarks, ended, provenance, untimed)


def _merge_group(
    arms: list[Arm], timed: dict[int, list[Timed]], untimed: dict[str, Untimed]
) -> tuple[list[Benchmark], list[Untimed]]:
    """An arm that has no number in one process has none at all."""
    seen = {arm.id: {p: t for p, of_process in timed.items() for t in of_process if t.arm == arm.id} for arm in arms}
    there = [arm for arm in arms if arm.id not in untimed and len(seen[arm.id]) == len(timed) > 0]
    of_role = {arm.role: arm for arm in there}
    baseline, duplicate = of_role.get("baseline"), of_role.get("duplicate")
    if baseline is None or duplicate is None:
        was_tried = timed or any(arm.id in untimed for arm in arms if arm.role in ("baseline", "duplicate"))
        lost = [arm for arm in arms if was_tried or arm.id in untimed]
        return [], [untimed.get(arm.id) or Untimed(arm, NO_BASELINE) for arm in lost]
    lost = [arm for arm in arms if arm not in there]
    without = [untimed.get(arm.id) or Untimed(arm, "not measured in every process") for arm in lost]
    samples_s = {arm.id: np.concatenate([t.time_s for t in seen[arm.id].values()]) for arm in there}
    process = [number for number, t in seen[baseline.id].items() for _ in t.time_s]
    ratios = {arm.id: compare(samples_s[arm.id], samples_s[baseline.id], process) for arm in there}
    floor = noise_floor(ratios[duplicate.id], len(set(process)))
    benchmarks = []
    for arm in there:
        ratio, workload = ratios[arm.id], workload_of(arm)
        work = work_of(workload, arm.phase, arm.dtype)
        benchmark = Benchmark(
            arm=arm,
            timed=seen[arm.id],
            shape=workload.shape,
            steps=workload.batch_size if arm.phase == "step" else workload.steps,
            flops=work.flops,
            moved_bytes=work.moved_bytes,
            ratio=ratio.ratio,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            floor=floor,
            verdict=verdict(ratio, floor, process),
        )
        benchmarks.append(benchmark)
    return benchmarks, without

"""A run: fresh processes measure, this one merges what they say, judges, and keeps it as it comes."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
import numpy as np

from ...common.errors import TrigruError
from ..analysis.statistics import compare, enough_rounds, noise_floor, verdict
from ..arms.arms import Arm
from ..arms.plan import MATMUL_PRECISION
from ..arms.work import work_of
from ..arms.workloads import get_workload
from ..results.record import SCHEMA, Benchmark, ExtraInfo, Facts, Provenance, Results, assemble, stats_of
from .journal import Journal, Lost
from .machine import load_average
from .messages import Answer, GroupRecord, Measured, Request, Underway, Untimed

__all__ = ["WorkerDiedError", "ask_process", "merge", "run"]


class WorkerDiedError(TrigruError):
    """A measuring process ended without an answer."""


Ask = Callable[[Request], Iterator[Answer]]


def ask_process(request: Request) -> Iterator[Answer]:
    """Let a fresh interpreter measure.

    Raises:
        WorkerDiedError: it ended before it was done.
    """
    command = [sys.executable, "-m", f"{__package__}.worker"]
    with tempfile.TemporaryFile() as errors:
        # a session of its own: Ctrl-C is for this process, which then decides
        worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            with suppress(BrokenPipeError):
                worker.stdin.write(msgspec.json.encode(request) + b"\n")
                worker.stdin.flush()  # and is left open: its end tells the worker that nobody listens any more
            for line in worker.stdout:
                if line.endswith(b"\n"):  # else it died in the middle of it
                    yield msgspec.json.decode(line, type=Answer)
            if worker.wait():
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                how = f"killed by signal {-worker.returncode}" if worker.returncode < 0 else said
                raise WorkerDiedError(f"the measuring process died: {how or f'exit code {worker.returncode}'}")
        finally:
            _kill(worker)
            worker.wait()
            worker.stdout.close()
            with suppress(BrokenPipeError):
                worker.stdin.close()


def run(journal: Journal, progress: Callable[[str, float], None], ask: Ask | None = None) -> None:
    """Measure what a journal's plan asks for and the journal does not have.

    Args:
        journal: is added to.
        progress: called with what is under way and the share of the whole that was done since the last call.
        ask: has a request measured; `ask_process` unless said otherwise.

    Raises:
        WorkerDiedError: a process died before it measured anything.
    """
    plan = journal.plan
    whole = len(plan.groups()) * plan.processes
    with tempfile.TemporaryDirectory(prefix="trigru-") as folder:
        for process in range(plan.processes):
            alone = process == 0
            while todo := journal.todo(process):
                request = Request(plan, process, alone, todo, journal.lost, folder)
                underway: Underway | None = None
                try:
                    for answer in (ask or ask_process)(request):
                        if isinstance(answer, Underway):
                            underway = answer
                            of = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else ""
                            progress(answer.what + of, answer.share * len(todo) / whole)
                        else:
                            underway = None
                            journal.add(answer)
                    if journal.todo(process) == todo:
                        raise WorkerDiedError("the measuring process ended without a word")
                except WorkerDiedError as error:
                    if underway is None and journal.todo(process) != todo:
                        continue  # it died after its work, and before more
                    if alone:
                        _blame(journal, process, underway, error)
                    alone = True  # and so it is known what was under way


def merge(journal: Journal) -> Results:
    """The results file of what a journal has."""
    plan, machine = journal.plan, journal.machine
    if machine is None:
        raise TrigruError("nothing was measured.")
    benchmarks: list[Benchmark] = []
    untimed: dict[str, Untimed] = {}
    for group, arms in plan.groups().items():
        records = [record for record in journal.records if record.group == group]
        found, without = _merge_group(arms, records, journal.lost, plan.seed)
        benchmarks += found
        untimed |= {u.id: u for u in without}
    return assemble(
        benchmarks,
        list(untimed.values()),
        Provenance(
            schema=SCHEMA,
            command=journal.command,
            plan=plan,
            seed=plan.seed,
            machine=machine,
            ceilings=[started.ceilings for started in journal.started],
            matmul_precision=MATMUL_PRECISION,
            load_before=journal.load_before,
            load_after=load_average(),
            interruptions=journal.interruptions,
            complete=journal.complete,
        ),
    )


def _blame(journal: Journal, process: int, underway: Underway | None, error: WorkerDiedError) -> None:
    """Lose the arm that was under way, or the group; where there is none, the whole run cannot go on."""
    if underway is None or underway.group is None:
        raise error
    reason = f"{error} while trying to {underway.what}"
    arms = [arm for arm in journal.plan.groups()[underway.group] if arm.id not in journal.lost]
    if underway.arm is not None:
        journal.add(Lost(underway.arm, reason))
    else:
        untimed = [Untimed(arm.id, arm.group, arm.name, reason) for arm in arms]
        journal.add(GroupRecord(underway.group, process, [], untimed))


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """With all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(worker.pid, signal.SIGKILL)
        else:
            worker.kill()


def _merge_group(
    arms: list[Arm], records: list[GroupRecord], lost: dict[str, str], seed: int
) -> tuple[list[Benchmark], list[Untimed]]:
    """An arm that has no number in one process has none at all."""
    by_arm = {
        arm: [(record.process, m) for record in records for m in record.measured if m.id == arm.id]
        for arm in arms
        if arm.id not in lost
    }
    by_arm = {arm: seen for arm, seen in by_arm.items() if len(seen) == len(records)}
    reasons = {arm: lost.get(arm.id, "not measured in every process") for arm in arms if arm not in by_arm}
    untimed = [Untimed(arm.id, arm.group, arm.name, reason) for arm, reason in reasons.items()]
    if not records:
        return [], untimed
    baseline = next((arm for arm in by_arm if arm.is_baseline), None)
    duplicate = next((arm for arm in by_arm if arm.copy == 2), None)
    if baseline is None or duplicate is None:
        reason = "the baseline or its duplicate has no number, so there is nothing to compare with"
        return [], untimed + [Untimed(arm.id, arm.group, arm.name, reason) for arm in by_arm]
    times_s = {arm: np.concatenate([m.time_s for _, m in seen]) for arm, seen in by_arm.items()}
    process = [number for number, m in by_arm[baseline] for _ in m.time_s]
    ratios = {arm: compare(times_s[arm], times_s[baseline], process, seed) for arm in by_arm}
    floor = noise_floor(ratios[duplicate], len(set(process)))
    enough = enough_rounds(process)
    workload = get_workload(baseline.workload)  # all arms of a group do the same work
    steps = workload.batch_size if baseline.phase == "step" else workload.steps
    work = work_of(workload, baseline.phase, baseline.dtype)
    benchmarks = []
    for arm, seen in by_arm.items():
        measured = [m for _, m in seen]
        first, ratio = measured[0], ratios[arm]
        facts = Facts(
            id=arm.id,
            workload=workload.name,
            shape=workload.shape,
            steps=steps,
            phase=arm.phase,
            port=arm.port,
            style=arm.style,
            kernel=arm.kernel,
            dtype=arm.dtype,
            copy=arm.copy,
            slowed=arm.slowed,
            is_baseline=arm.is_baseline,
            differs=arm.differs,
            gate=_largest(measured),
            process=process,
            position=[p for m in measured for p in m.position],
            started_s=[s for m in measured for s in m.started_s],
            calls=[m.calls for m in measured],
            pipelined_s=[s for m in measured for s in m.pipelined_s],
            warm_up_calls=[m.warm_up_calls for m in measured],
            steady=[m.steady for m in measured],
            leaves=first.leaves,
            build=first.build,
            program=first.program,
            flops=work.flops,
            moved_bytes=work.moved_bytes,
            ratio=ratio.ratio,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            floor=floor,
            verdict=verdict(ratio, floor) if enough else "indistinguishable",
        )
        benchmarks.append(
            Benchmark(
                group=arm.group,
                name=arm.name,
                fullname=arm.id,
                params=None,
                param=None,
                extra_info=ExtraInfo(facts),
                options={"disable_gc": True, "timer": "perf_counter_ns"},
                stats=stats_of(times_s[arm], first.calls),
            )
        )
    return benchmarks, untimed


def _largest(measured: list[Measured]) -> float | None:
    gates = [m.gate for m in measured if m.gate is not None]
    return max(gates, default=None)

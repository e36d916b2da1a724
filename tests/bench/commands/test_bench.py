"""`trigru bench`: plans, files, interruptions."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from support.cli import invoke
from support.processes import ask_here
from trigru.bench.arms.plan import expand
from trigru.bench.arms.workloads import QUICK, WORKLOADS
from trigru.bench.reporting.console import Progress
from trigru.bench.results.files import load
from trigru.bench.results.record import Plan
from trigru.bench.timing import worker
from trigru.bench.timing.journal import ResumeError

ROOT = Path(__file__).parents[3]
ASK_PROCESS = "trigru.bench.timing.supervisor.ask_process"
QUICKLY = ("--quick", "--workload", "tiny", "--rounds", "6")


# plans


def planned(monkeypatch, tmp_path, *arguments):
    """The plan of a run that is not measured."""
    found = []
    monkeypatch.setattr("trigru.bench.commands.bench.benchmark", lambda plan, *_, **__: found.append(plan))
    invoked = invoke("bench", *arguments, "-o", str(tmp_path))
    assert invoked.exit_code == 0, invoked.output
    (plan,) = found
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    return plan


def test_what_is_measured_and_how_where_nothing_else_is_asked_for(monkeypatch, tmp_path):
    usual, quick = (planned(monkeypatch, tmp_path, *options) for options in ((), ("--quick",)))
    assert (usual.processes, usual.sample_time_s, quick.processes, quick.sample_time_s) == (10, 2.5e-3, 1, 2.5e-3)
    assert (usual.styles, quick.styles) == (None, ("documented", "functional"))
    assert planned(monkeypatch, tmp_path, "--quick", "--style", "leaves").styles == ("leaves",)
    assert planned(monkeypatch, tmp_path, "--quick", "--kernel", "fused").styles is None
    assert usual.phases == quick.phases == ("forward", "train_step", "step")
    assert planned(monkeypatch, tmp_path, "--kernel", "fused").phases == ("forward", "train_step")
    swept = planned(monkeypatch, tmp_path, "--sweep", "hidden=4,8").workloads
    assert list(map(str, swept)) == ["question@hidden=4", "question@hidden=8"]
    swept = planned(monkeypatch, tmp_path, "--workload", "tiny@batch=2", "--sweep", "hidden=4,8").workloads
    assert list(map(str, swept)) == ["tiny@batch=2@hidden=4", "tiny@batch=2@hidden=8"]


def test_kernels_that_are_asked_for_get_their_divisions_and_every_workload(monkeypatch, tmp_path):
    def of(*arguments):
        plan = planned(monkeypatch, tmp_path, *arguments)
        divisions = {arm.division for arm in expand(plan)}
        return list(map(str, plan.kernels)), [str(workload) for workload in plan.workloads], plan.phases, divisions

    usual = ["tiny", "question", "vowels", "medium", "large"]
    assert of() == (["stock"], usual, ("forward", "train_step", "step"), {"stock"})
    kernels, phases = ["fused", "fused@save=none"], ("forward", "train_step")
    every = [workload.name for workload in WORKLOADS]
    options = ("--port", "pure", "--kernel", "fused")
    assert of(*options, "--kernel", "fused@save=none") == (kernels, every, phases, {"fused"})
    both = (["fused", "stock"], list(QUICK), phases, {"stock", "fused"})
    assert of(*options, "--kernel", "stock", "--quick") == both


@pytest.mark.parametrize("calibrate", [(), ("--calibrate",)])
def test_how_long_and_how_often_is_the_plans(monkeypatch, tmp_path, calibrate):
    plan = planned(monkeypatch, tmp_path, *calibrate)
    assert (plan.limit_s, plan.processes, plan.rounds, plan.seed, plan.compile_anew) == (300.0, 10, None, 0, False)
    asked = ("--limit", "7", "--processes", "2", "--rounds", "8", "--seed", "3", "--compile-anew")
    plan = planned(monkeypatch, tmp_path, *calibrate, *asked)
    assert (plan.limit_s, plan.processes, plan.rounds, plan.seed, plan.compile_anew) == (7.0, 2, 8, 3, True)
    assert planned(monkeypatch, tmp_path, *calibrate, "--quick").processes == 1


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    for output in ("file", "file/sub/folder"):
        found = invoke("bench", "--quick", "-o", str(tmp_path / output))
        assert isinstance(found.exception, NotADirectoryError)
        assert "is a file, expected a folder to write results into" in str(found.exception)


# interruptions


def interrupt_before(monkeypatch, phase):
    """Ctrl-C when the groups of a phase are reached."""
    real = worker.measure_group

    def measure_group(request, arms, *rest):
        if arms[0].phase == phase:
            raise KeyboardInterrupt
        return real(request, arms, *rest)

    def ask(request, limit_s):
        answers = []
        with suppress(KeyboardInterrupt):
            worker.measure(request, answers.append)
            yield from answers
            return
        yield from answers
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "measure_group", measure_group)
    monkeypatch.setattr(ASK_PROCESS, ask)


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(tmp_path, monkeypatch):
    options = [*QUICKLY, "--phase", "forward", "--phase", "step", "--port", "pure", "-o", str(tmp_path)]
    with monkeypatch.context() as patched:
        interrupt_before(patched, "forward")
        found = invoke("bench", *options)
    assert found.exit_code == 130
    assert "interrupted: nothing was measured, nothing written." in found.stderr
    assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        interrupt_before(patched, "step")
        found = invoke("bench", *options)
    assert found.exit_code == 130
    assert "the same command with --resume goes on from here" in found.stderr
    half = load(tmp_path / "results.json")
    assert not half.trigru.complete
    assert [b.arm.phase for b in half.benchmarks] == ["forward", "forward"]
    assert "INTERRUPTED" in (tmp_path / "report.md").read_text()

    other = invoke("bench", *options, "--seed", "1", "--resume")
    assert isinstance(other.exception, ResumeError)
    assert "is of another plan" in str(other.exception)
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    found = invoke("bench", *options, "--resume")
    assert found.exit_code == 0, found.stderr
    whole = load(tmp_path / "results.json")
    assert (whole.trigru.complete, whole.trigru.interruptions) == (True, 1)
    assert [b.arm.phase for b in whole.benchmarks] == ["forward", "forward", "step", "step"]
    assert [b.stats for b in whole.benchmarks[:2]] == [b.stats for b in half.benchmarks], "measured once"
    assert not (tmp_path / "results.partial.jsonl").exists()
    assert "INTERRUPTED" not in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("moment_s", [5.0, 9.0])
def test_ctrl_c_is_heard_at_any_time(tmp_path, moment_s):
    command = [sys.executable, "-m", "trigru.bench.cli", "bench", "--workload", "medium", "--port", "pure", "-o", "out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    time.sleep(moment_s)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted: " in stderr
    if (tmp_path / "out").exists():
        assert not load(tmp_path / "out" / "results.json").trigru.complete


def test_progress_goes_to_a_share_or_on_by_one():
    with Progress("x") as progress:
        shown = []
        for go in (lambda: progress.to(0.5, "a"), lambda: progress.to(0.5, "b"), lambda: progress.add("c", 0.25)):
            go()
            shown.append(progress._bar.tasks[0].completed)
    assert shown == [0.5, 0.5, 0.75]


def test_progress_defers_the_first_interrupt_and_lets_the_second_through():
    before = signal.getsignal(signal.SIGINT)
    with Progress("x") as progress:
        progress.to(0.1, "first")
        progress._interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt):
            progress.to(0.2, "second")
    assert signal.getsignal(signal.SIGINT) is before


def test_the_pytest_benchmark_suite_runs():
    chosen = "tiny and forward and (pure or linen)"
    command = [sys.executable, "-m", "pytest", "bench", "--benchmark-only", "-k", chosen, "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert found.returncode == 0, found.stdout
    assert "2 passed" in found.stdout
    assert "tiny/forward/float32/stock" in found.stdout

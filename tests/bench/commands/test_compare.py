"""`trigru compare`: what is not proven equal gets no number, and nothing is lost."""

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
from support.cli import call, invoke
from support.files import lines_of
from support.processes import FakeProcesses, answers_here, pool_here, pool_of
from support.runs import plan
from trigru.bench.analysis.merge import load, merge
from trigru.bench.arms.arms import expand
from trigru.bench.commands import arguments, compare
from trigru.bench.commands.options import PHASE_CHECKS
from trigru.bench.commands.verify import Verified
from trigru.bench.processes import scratch
from trigru.bench.processes.pool import ChildDiedError
from trigru.bench.proving.prover import Prover
from trigru.bench.results.files import Journal, ResumeError, save
from trigru.bench.timing import worker
from trigru.common.equality.checks import CHECKS, DTYPES, get_checks
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import TrigruError
from trigru.impls import linen

ROOT = Path(__file__).parents[3]
MAKE_POOL = "trigru.bench.timing.supervisor.make_pool"
ONE_GROUP = ("--processes", "1", "--workload", "tiny", "--phase", "forward")
LINEN = ("compare", "--quick", *ONE_GROUP, "--port", "linen")
LINEN_IN_FULL = ("compare", *ONE_GROUP, "--port", "linen")
PURE = ("compare", "--no-proof", "--quick", *ONE_GROUP, "--port", "pure")
#: What linen's arms and plain JAX's are called.
PURE_ARMS = ["pure[jit]", "pure[jit]#2"]
LINEN_ARMS = ["linen[apply]", "linen[leaves]"]
FORMER = b"a former result"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a former result.

    What is measured is measured in this process, and few checks are run.
    """
    monkeypatch.setattr(MAKE_POOL, pool_here)
    for phase in PHASE_CHECKS:
        monkeypatch.setitem(PHASE_CHECKS, phase, ("golden",))
    (tmp_path / "results.json").write_bytes(FORMER)
    return tmp_path


@pytest.fixture
def partial(folder):
    return folder / "results.partial.jsonl"


def compared(folder, *words):
    return invoke(*words, "-o", str(folder))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# What is proven, and what gets a number


def test_every_measurement_is_kept(folder):
    result = compared(folder, *LINEN)
    assert result.exit_code == 0, result.output
    run = load(folder / "results.json")
    proven = {(m.port, m.dtype, m.check) for m in run.trigru.begun.equality}
    assert proven == {("pure", "float64", "golden"), ("linen", "float64", "golden")}
    assert [b.name for b in run.benchmarks] == [*PURE_ARMS, *LINEN_ARMS]
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ


def test_report_prints_the_screen_again(folder):
    result = compared(folder, *LINEN)
    assert "linen passed " in result.stdout
    assert invoke("report", str(folder)).stdout == result.stdout
    details = invoke("report", str(folder), "--details").stdout
    assert "Equality with the NumPy oracle" in details


@pytest.fixture
def without_b_hn(monkeypatch):
    load_params = linen.LinenPort.load

    def load_without(port, config, params):
        return load_params(port, config, params._replace(bias_n=0 * params.bias_n))

    monkeypatch.setattr(linen.LinenPort, "load", load_without)


@pytest.mark.usefixtures("without_b_hn")
def test_a_port_that_fails_gets_no_number(folder):
    assert compared(folder, *LINEN).exit_code == 1
    run = load(folder / "results.json")
    assert [b.name for b in run.benchmarks] == PURE_ARMS
    reasons = {untimed.arm.name: untimed.reason for untimed in run.untimed}
    assert reasons == dict.fromkeys(LINEN_ARMS, "not proven equal: golden")


@pytest.mark.usefixtures("without_b_hn")
def test_a_port_that_fails_is_named(folder):
    result = compared(folder, *LINEN)
    assert "FAILED linen: golden" in result.stdout
    assert "FAILED: linen is not proven equal (golden)" in result.output
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "not proven equal: golden" in page


def test_where_plain_jax_fails_nothing_changes(folder, monkeypatch):
    failed = [Measurement("pure", "chunks", None, "carry", "float64", 1.0, 0.0)]
    verified = Mock(return_value=Verified(failed, {}, "cpu"))
    monkeypatch.setattr(compare, "verify_ports", verified)
    result = compared(folder, *LINEN)
    assert result.exit_code == 1
    assert "FAILED: plain JAX is not proven equal (chunks)" in result.stdout
    assert "no arm has a number: " in result.stderr
    assert names_in(folder) == ["results.json"]
    assert (folder / "results.json").read_bytes() == FORMER


def test_where_plain_jax_breaks_nothing_changes(folder, monkeypatch):
    monkeypatch.setattr(worker, "prepare", Mock(side_effect=TrigruError("it broke")))
    result = compared(folder, *PURE)
    assert result.exit_code == 1
    assert "it broke" in result.stdout
    assert "no arm has a number: " in result.stderr
    assert names_in(folder) == ["results.json"]
    assert (folder / "results.json").read_bytes() == FORMER


def test_a_port_that_fails_on_the_stock_kernel_gets_no_number_on_another():
    arms = expand(plan(ports=("linen",), kernels=("stock", "fused")))
    failed = [Measurement("linen", "chunks", None, "carry", "float64", 1.0, 0.0)]
    untimed = [item.arm for item in compare.untimed_arms(arms, failed)]
    assert untimed == [arm for arm in arms if arm.port == "linen"]
    assert {arm.kernel for arm in untimed} == {"stock", "fused"}


def test_a_port_that_is_not_available_gets_no_number(monkeypatch):
    monkeypatch.setattr(compare, "unavailable", lambda port: f"no {port}")
    arms = expand(plan(ports=("linen",)))
    arms[-1] = msgspec.structs.replace(arms[-1], style=None)
    (untimed,) = compare.untimed_arms(arms, [])
    assert untimed.arm == arms[-1]
    assert untimed.reason == "no linen"


@pytest.fixture
def verified_scope(monkeypatch):
    """Verifies a plan of linen's step, and gives what was to be verified."""

    def scope(devices, *, quick):
        verify_ports = Mock(return_value=Verified([], {}, None))
        monkeypatch.setattr(compare, "verify_ports", verify_ports)
        of_step = plan(
            ports=("linen",),
            phases=("step",),
            styles=("apply",),
            kernels=("fused",),
            devices=devices,
        )
        of_step = msgspec.structs.replace(of_step, dtype="bfloat16")
        compare.verify_plan(of_step, Prover(), quick=quick)
        (arguments, options) = verify_ports.call_args
        return arguments, options["devices"]

    return scope


def test_plain_jax_and_the_stock_kernel_are_proven_too(verified_scope):
    arguments, devices = verified_scope((1,), quick=False)
    assert arguments == (("pure", "linen"), DTYPES, CHECKS, ("stock", "fused"), None)
    assert devices is None


def test_of_a_first_look_what_is_timed_is_proven(verified_scope):
    (_, dtypes, checks, kernels, styles), _ = verified_scope((1,), quick=True)
    assert dtypes == ("float64", "bfloat16")
    assert checks == get_checks("step")
    assert kernels == ("stock", "fused")
    assert styles == {"step": ("apply", "jit")}


def test_equality_is_checked_over_the_most_devices_up_to_64(verified_scope):
    _, devices = verified_scope((1, 2), quick=False)
    assert devices == 2
    _, devices = verified_scope((1, 2, 128), quick=False)
    assert devices == 64


def test_another_trigru_that_times_on_this_machine_is_waited_for(folder, monkeypatch):
    events = []
    other = ExitStack()
    other.enter_context(scratch.claimed(scratch.TIMING, "this machine", pytest.fail))
    monkeypatch.setattr(scratch, "LOOK_EVERY_S", 0.01)

    def say(sentence):
        events.append(sentence)
        other.close()

    def answers(request):
        events.append("timed")
        yield from answers_here(request)

    monkeypatch.setattr(arguments, "say", say)
    monkeypatch.setattr(MAKE_POOL, pool_of(answers))
    result = compared(folder, *PURE)
    assert result.exit_code == 0, result.output
    waited, timed = events
    assert waited.startswith("this machine is in use by another trigru (process ")
    assert timed == "timed"


# Runs that are stopped, and continued

TWO_PHASES = (*PURE, "--phase", "step")


def interrupted_at(phase):
    """Processes of which the first is interrupted when it is to time a phase."""
    place = (0, f"time tiny/{phase}/float32/stock")
    return FakeProcesses({place: KeyboardInterrupt()}).pool


@pytest.fixture
def half(folder, monkeypatch):
    """The results so far of a run that was interrupted after one of its two parts."""
    monkeypatch.setattr(MAKE_POOL, interrupted_at("step"))
    result = compared(folder, *TWO_PHASES)
    assert result.exit_code == 130
    partial = folder / "results.partial.jsonl"
    assert f"1 of 2 parts are kept in {partial}" in result.stderr
    monkeypatch.setattr(MAKE_POOL, FakeProcesses().pool)
    return merge(Journal.read(partial).run)


def test_a_run_that_is_interrupted_before_it_measured_leaves_nothing(
    folder, monkeypatch
):
    monkeypatch.setattr(MAKE_POOL, interrupted_at("forward"))
    result = compared(folder, *TWO_PHASES)
    assert result.exit_code == 130
    expected = "nothing was measured, and nothing written.\ninterrupted.\n"
    assert result.stderr.endswith(expected)
    assert names_in(folder) == ["results.json"]


def test_a_run_that_is_interrupted_leaves_the_former_result(folder, partial, half):
    assert not half.trigru.complete
    assert (folder / "results.json").read_bytes() == FORMER
    assert "INTERRUPTED" in invoke("report", str(partial)).stdout


def test_the_same_command_continues_a_run_and_measures_nothing_twice(
    folder, partial, half
):
    result = compared(folder, *TWO_PHASES)
    assert result.exit_code == 0, result.stderr
    assert "1 of 2 parts are in" in result.stderr
    whole = load(folder / "results.json")
    assert whole.trigru.complete
    assert whole.trigru.interruptions == 1
    phases = [benchmark.arm.phase for benchmark in whole.benchmarks]
    assert phases == ["forward"] * 3 + ["step"] * 3
    first = [benchmark.samples for benchmark in whole.benchmarks[:3]]
    assert first == [benchmark.samples for benchmark in half.benchmarks]
    assert not partial.exists()


@pytest.mark.usefixtures("half")
def test_a_run_is_not_continued_with_other_options(folder):
    result = compared(folder, *TWO_PHASES, "--precision", "default")
    assert isinstance(result.exception, ResumeError)
    assert "with other options" in str(result.exception)


@pytest.mark.usefixtures("half")
def test_a_run_without_a_proof_is_not_continued_with_one(folder):
    words = [word for word in TWO_PHASES if word != "--no-proof"]
    result = compared(folder, *words)
    assert "is of a run with --no-proof" in str(result.exception)


def test_what_is_no_run_is_not_written_over(folder, partial):
    partial.write_bytes(b"hours")
    assert isinstance(compared(folder, *PURE).exception, ResumeError)
    assert partial.read_bytes() == b"hours"


def test_an_unfinished_run_is_deleted_if_that_is_asked_for(folder, partial):
    partial.write_bytes(b"hours")
    assert compared(folder, *PURE, "--fresh").exit_code == 0
    assert load(folder / "results.json").trigru.complete
    assert not partial.exists()


@pytest.fixture
def proven(folder, partial, monkeypatch, without_b_hn):
    """The journal of a run that has proven, and measured nothing."""
    died = Mock(side_effect=ChildDiedError("killed"))
    monkeypatch.setattr(MAKE_POOL, pool_of(died))
    result = compared(folder, *LINEN)
    assert isinstance(result.exception, ChildDiedError)
    assert "0 of 1 parts are kept" in result.stderr
    verify_again = Mock(side_effect=AssertionError("it was verified again"))
    monkeypatch.setattr(compare, "verify_ports", verify_again)
    monkeypatch.setattr(MAKE_POOL, pool_here)
    return partial


@pytest.mark.usefixtures("proven")
def test_a_run_that_is_continued_keeps_what_was_proven(folder):
    assert compared(folder, *LINEN).exit_code == 1
    run = load(folder / "results.json")
    assert [b.name for b in run.benchmarks] == PURE_ARMS
    assert [u.reason for u in run.untimed] == ["not proven equal: golden"] * 2
    assert {m.port for m in run.trigru.begun.equality} == {"pure", "linen"}


def test_a_run_is_not_continued_with_other_versions(folder, proven):
    lines = proven.read_bytes().replace(version("jax").encode(), b"0.1").splitlines()
    proven.write_bytes(lines_of(json.loads(line) for line in lines))
    result = compared(folder, *LINEN)
    assert "was begun elsewhere: jax " in str(result.exception)


@pytest.mark.usefixtures("proven")
def test_a_first_look_is_not_continued_in_full(folder):
    message = str(compared(folder, *LINEN_IN_FULL).exception)
    assert "is of a first look, not proven in full: add --quick" in message


# Files that are written


def test_a_signal_while_the_result_is_written_waits_until_it_is(folder, monkeypatch):
    def save_interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        save(*arguments)

    monkeypatch.setattr(compare, "save", save_interrupted)
    result = compared(folder, *PURE)
    assert result.exit_code == 128 + signal.SIGTERM
    assert "written: " in result.stderr
    assert result.stderr.endswith("interrupted.\n")
    assert load(folder / "results.json").trigru.complete
    assert names_in(folder) == ["report.html", "results.json"]


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


def test_where_the_result_cannot_be_written_it_stays_in_the_journal(
    folder, monkeypatch
):
    replace = os.replace

    def fail(*paths):
        if Path(paths[-1]).parent == folder:
            raise FULL_DISK
        replace(*paths)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        code, _, err = call(*PURE, "-o", str(folder))
    assert code == 2
    assert "error: [Errno 28] No space left on device" in err
    assert "1 of 1 parts are kept in" in err
    assert (folder / "results.json").read_bytes() == FORMER

    assert compared(folder, *PURE).exit_code == 0
    assert load(folder / "results.json").trigru.complete


def test_where_the_page_cannot_be_written_the_result_stands(folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(compare, "write_page", Mock(side_effect=FULL_DISK))
        code, out, err = call(*PURE, "-o", str(folder))
    assert code == 2
    assert "report.html is not written: trigru report" in err
    assert load(folder / "results.json").trigru.complete
    assert invoke("report", str(folder)).stdout == out
    assert compared(folder, *TWO_PHASES).exit_code == 0, "it blocks no other run"


def test_the_pytest_benchmark_suite_runs():
    words = ["pytest", "bench", "--benchmark-only", "-p", "no:cacheprovider"]
    words += ["-k", "tiny and forward and (pure or linen)"]
    variables = {}
    for name, value in os.environ.items():
        if not name.startswith("PYTEST_"):
            variables[name] = value
    result = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=variables,
    )
    assert result.returncode == 0, result.stdout
    assert "4 passed" in result.stdout
    assert "tiny/forward/float32/stock" in result.stdout

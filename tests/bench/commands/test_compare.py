"""`trigru compare`: what is not proven equal gets no number, and nothing that was measured or proven is lost."""

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
from trigru.bench.commands import arguments, compare
from trigru.bench.commands.options import PHASE_CHECKS
from trigru.bench.commands.verify import Verified
from trigru.bench.processes import scratch
from trigru.bench.processes.pool import ChildDiedError
from trigru.bench.proving.prover import Prover
from trigru.bench.results.files import Journal, ResumeError, save
from trigru.bench.timing import worker
from trigru.common.equality.checks import DTYPES, get_checks
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import TrigruError
from trigru.impls import linen

ROOT = Path(__file__).parents[3]
MAKE_POOL = "trigru.bench.timing.supervisor.make_pool"
TINY = (
    "--quick",
    "--processes",
    "1",
    "--workload",
    "tiny",
    "--phase",
    "forward",
    "--port",
    "linen",
)
FULL = ("compare", *TINY[1:])
STEP = ("compare", "--no-proof", *TINY[:-3], "step", "--port", "pure")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a former result; what is measured is measured in this process, and few checks are run."""
    monkeypatch.setattr(MAKE_POOL, pool_here)
    for phase in PHASE_CHECKS:
        monkeypatch.setitem(PHASE_CHECKS, phase, ("golden",))
    (tmp_path / "results.json").write_bytes(b"a former result")
    return tmp_path


def test_every_measurement_is_kept_and_report_prints_the_screen_again(folder):
    result = invoke("compare", *TINY, "-o", str(folder))
    assert result.exit_code == 0, result.output
    run = load(folder / "results.json")
    assert {(m.port, m.dtype, m.check) for m in run.trigru.begun.equality} == {
        (port, "float64", "golden") for port in ("pure", "linen")
    }
    assert [b.name for b in run.benchmarks] == [
        "pure[jit]",
        "pure[jit]#2",
        "linen[apply]",
        "linen[leaves]",
    ]
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ
    assert "\nSame results: " in result.stdout
    assert invoke("report", str(folder)).stdout == result.stdout
    assert (
        "Equality with the NumPy oracle"
        in invoke("report", str(folder), "--details").stdout
    )


@pytest.fixture
def without_b_hn(monkeypatch):
    load = linen.LinenPort.load

    def without(port, config, params):
        return load(port, config, params._replace(bias_n=0 * params.bias_n))

    monkeypatch.setattr(linen.LinenPort, "load", without)


def test_a_port_that_fails_is_named_exits_1_and_gets_no_number(folder, without_b_hn):
    result = invoke("compare", *TINY, "-o", str(folder))
    assert result.exit_code == 1
    run = load(folder / "results.json")
    assert [b.name for b in run.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    untimed = [(u.arm.name, u.reason) for u in run.untimed]
    assert untimed == [
        (f"linen[{style}]", "not proven equal: golden") for style in ("apply", "leaves")
    ]
    assert "FAILED linen: golden" in result.stdout
    assert "not proven equal: golden" in (folder / "report.html").read_text()
    assert "FAILED: linen is not proven equal (golden)" in result.output


@pytest.mark.parametrize(
    "breaks", [True, False], ids=["it breaks", "plain JAX is not equal"]
)
def test_a_run_without_a_number_changes_nothing(folder, monkeypatch, breaks):
    failed = [Measurement("pure", "chunks", None, "carry", "float64", 1.0, 0.0)]
    monkeypatch.setattr(
        compare, "verify_ports", lambda *_, **__: Verified(failed, {}, "cpu")
    )
    monkeypatch.setattr(worker, "prepare", Mock(side_effect=TrigruError("it broke")))
    result = invoke(*(STEP if breaks else ("compare", *TINY)), "-o", str(folder))
    assert result.exit_code == 1
    assert (
        "it broke" if breaks else "FAILED: plain JAX is not proven equal (chunks)"
    ) in result.stdout
    assert "no arm has a number: " in result.stderr
    assert [(p.name, p.read_bytes()) for p in folder.iterdir()] == [
        ("results.json", b"a former result")
    ]


def test_another_trigru_that_times_on_this_machine_is_waited_for(folder, monkeypatch):
    said, other = [], ExitStack()
    other.enter_context(scratch.claimed(scratch.TIMING, "this machine", pytest.fail))
    monkeypatch.setattr(scratch, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(
        arguments, "say", lambda sentence: said.append(sentence) or other.close()
    )
    monkeypatch.setattr(
        MAKE_POOL,
        pool_of(lambda request: said.append(["pure"]) or answers_here(request)),
    )
    result = invoke(*STEP, "-o", str(folder))
    assert result.exit_code == 0, result.output
    waited, *timed = said
    assert waited.startswith("this machine is in use by another trigru (process ")
    assert timed == [["pure"]]
    assert (
        invoke("report", str(folder)).stdout.splitlines()[-9:]
        == result.stdout.splitlines()[-9:]
    )


def test_stock_and_plain_jax_are_always_proven_and_of_a_first_look_what_is_timed(
    monkeypatch,
):
    asked, prover = Mock(return_value=Verified([], {}, None)), Prover()
    monkeypatch.setattr(compare, "verify_ports", asked)
    checks, styles = get_checks("step"), {"step": ("apply", "jit")}
    for quick, devices, scope in (
        (False, (1,), (DTYPES, None, ("stock", "fused"), None)),
        (
            True,
            (1, 2, 128),
            (("float64", "bfloat16"), checks, ("stock", "fused"), styles),
        ),
    ):
        of = plan(
            ports=("linen",),
            phases=("step",),
            styles=("apply",),
            kernels=("fused",),
            devices=devices,
        )
        compare.verify_plan(
            msgspec.structs.replace(of, dtype="bfloat16"),
            prover,
            quick=quick,
        )
        assert asked.call_args.args == (("pure", "linen"), *scope)
        many = compare.MOST_DEVICES if quick else None
        assert asked.call_args.kwargs == {
            "devices": many,
            "prover": prover,
        }


def interrupted_before(phase):
    return FakeProcesses({(0, f"time tiny/{phase}/float32/stock"): KeyboardInterrupt()})


def test_the_same_command_continues_a_run_that_was_interrupted(folder, monkeypatch):
    options = [*STEP, "--phase", "forward", "-o", str(folder)]
    path, partial = folder / "results.json", folder / "results.partial.jsonl"
    monkeypatch.setattr(MAKE_POOL, interrupted_before("step").pool)
    result = invoke(*options)
    assert (result.exit_code, [p.name for p in folder.iterdir()]) == (
        130,
        ["results.json"],
    )
    assert "nothing was measured, and nothing written.\ninterrupted.\n" in result.stderr
    monkeypatch.setattr(MAKE_POOL, interrupted_before("forward").pool)
    result = invoke(*options)
    assert result.exit_code == 130
    assert f"1 of 2 parts are kept in {partial}" in result.stderr
    assert path.read_bytes() == b"a former result"
    half = merge(Journal.read(partial).run)
    assert not half.trigru.complete
    assert "INTERRUPTED" in invoke("report", str(partial)).stdout

    monkeypatch.setattr(MAKE_POOL, FakeProcesses().pool)
    assert "with other options" in str(
        invoke(*options, "--precision", "default").exception
    )
    unproven = invoke(*[word for word in options if word != "--no-proof"])
    assert "is of a run with --no-proof" in str(unproven.exception)
    result = invoke(*options)
    assert result.exit_code == 0, result.stderr
    assert "1 of 2 parts are in" in result.stderr
    whole = load(path)
    assert (whole.trigru.complete, whole.trigru.interruptions) == (True, 1)
    assert [b.arm.phase for b in whole.benchmarks] == ["step"] * 3 + ["forward"] * 3
    assert [b.samples for b in whole.benchmarks[:3]] == [
        b.samples for b in half.benchmarks
    ], "measured once"
    assert not partial.exists()


def test_an_unfinished_run_is_deleted_if_that_is_asked_for(folder):
    partial = folder / "results.partial.jsonl"
    partial.write_bytes(b"hours")
    assert isinstance(invoke(*STEP, "-o", str(folder)).exception, ResumeError)
    assert partial.read_bytes() == b"hours"
    assert invoke(*STEP, "-o", str(folder), "--fresh").exit_code == 0
    assert (load(folder / "results.json").trigru.complete, partial.exists()) == (
        True,
        False,
    )


def test_a_run_that_is_continued_keeps_what_was_proven(
    folder, monkeypatch, without_b_hn
):
    monkeypatch.setattr(MAKE_POOL, pool_of(Mock(side_effect=ChildDiedError("killed"))))
    died = invoke("compare", *TINY, "-o", str(folder))
    assert isinstance(died.exception, ChildDiedError)
    assert "0 of 1 parts are kept" in died.stderr, "the proof is"
    monkeypatch.setattr(
        compare, "verify_ports", lambda *_, **__: pytest.fail("it was verified again")
    )
    monkeypatch.setattr(MAKE_POOL, pool_here)
    path = folder / "results.partial.jsonl"
    whole = path.read_bytes()
    older = whole.replace(version("jax").encode(), b"0.1").splitlines()
    path.write_bytes(lines_of(json.loads(line) for line in older))
    other = invoke("compare", *TINY, "-o", str(folder))
    assert "was begun elsewhere: jax " in str(other.exception)
    path.write_bytes(whole)
    assert "is of a first look, not proven in full: add --quick" in str(
        invoke(*FULL, "-o", str(folder)).exception
    )
    assert invoke("compare", *TINY, "-o", str(folder)).exit_code == 1
    run = load(folder / "results.json")
    assert [b.name for b in run.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert [u.reason for u in run.untimed] == ["not proven equal: golden"] * 2
    assert {m.port for m in run.trigru.begun.equality} == {"pure", "linen"}


def test_a_signal_while_the_result_is_written_waits_until_it_is(folder, monkeypatch):
    def save_interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        save(*arguments)

    monkeypatch.setattr(compare, "save", save_interrupted)
    result = invoke(*STEP, "-o", str(folder))
    assert result.exit_code == 128 + signal.SIGTERM
    assert "written: " in result.stderr
    assert result.stderr.endswith("interrupted.\n")
    assert load(folder / "results.json").trigru.complete
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "results.json"]


def test_where_the_result_cannot_be_written_it_stays_in_the_journal(
    folder, monkeypatch
):
    replace = os.replace

    def fail(*paths):
        if Path(paths[-1]).parent == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*paths)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        code, _, err = call(*STEP, "-o", str(folder))
    assert code == 2
    assert "error: [Errno 28] No space left on device" in err
    assert "1 of 1 parts are kept in" in err
    assert (folder / "results.json").read_bytes() == b"a former result"
    assert invoke(*STEP, "-o", str(folder)).exit_code == 0
    assert load(folder / "results.json").trigru.complete


def test_where_the_page_cannot_be_written_the_result_stands_and_blocks_no_other_run(
    folder, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(
            compare,
            "write_page",
            Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")),
        )
        code, out, err = call(*STEP, "-o", str(folder))
    assert (code, "report.html is not written: trigru report" in err) == (2, True)
    assert load(folder / "results.json").trigru.complete
    assert invoke("report", str(folder)).stdout == out
    assert invoke(*STEP, "--phase", "forward", "-o", str(folder)).exit_code == 0, (
        "another plan"
    )


def test_the_pytest_benchmark_suite_runs():
    chosen = "tiny and forward and (pure or linen)"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "bench",
        "--benchmark-only",
        "-k",
        chosen,
        "-p",
        "no:cacheprovider",
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_")
    }
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert result.returncode == 0, result.stdout
    assert "4 passed" in result.stdout
    assert "tiny/forward/float32/stock" in result.stdout

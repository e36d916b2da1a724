"""The command line, as a user calls it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from trigru.bench.arms.plan import Plan
from trigru.bench.arms.workloads import QUICK, WORKLOADS
from trigru.bench.cli import app, main
from trigru.bench.commands.bench import named_kernels
from trigru.bench.commands.verify import _configured
from trigru.bench.reporting.console import Progress
from trigru.bench.results.record import load
from trigru.bench.timing import worker
from trigru.bench.timing.journal import ResumeError
from trigru.common.config import GRUConfig
from trigru.common.equality import verification as equivalence
from trigru.common.equality.checks import DTYPES, get_checks
from trigru.common.errors import UnavailableError
from trigru.common.parameters.layouts import TORCH
from trigru.common.parameters.record import random_params
from trigru.impls import linen
from trigru.impls.faults import FAULTS, Fault
from trigru.impls.pure import PORT
from trigru.impls.upstream import get_upstream
from typer.testing import CliRunner


def trigru(*arguments, **options):
    """Run the installed command in a process of its own."""
    command = [sys.executable, "-m", "trigru.bench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def invoke(*arguments):
    """Run the command in this process, where things can be patched."""
    return CliRunner().invoke(app, list(arguments))


ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "results" / "cpu.json"

MEASURING = {
    "--port", "--workload", "--phase", "--style", "--kernel", "--quick", "--rounds", "--processes", "--seed", "--peers",
    "--sweep", "--resume", "--output",
}  # fmt: skip
COMMANDS = {
    "compare": MEASURING,
    "verify": {"--port", "--dtype", "--check", "--kernel", "--json", "--self-test", "--every-check", "--upstream"},
    "bench": MEASURING | {"--calibrate", "--cold-start"},
    "report": {"--details"},
    "train": {"--experiment", "--port", "--seeds", "--vanishing", "--quick", "--output"},
    "diff": {"--fail-above", "--absolute", "--allow-missing", "--allow-other-machine", "--details"},
    "convert": {"--to", "--from", "--allow-pickle"},
}


def test_help_is_quick_and_imports_no_jax():
    trigru("--help")  # warm the disk cache
    elapsed_s = []
    for _ in range(3):
        start = time.perf_counter()
        found = trigru("--help")
        elapsed_s.append(time.perf_counter() - start)
    assert found.returncode == 0
    for command in COMMANDS:
        assert command in found.stdout
    assert min(elapsed_s) < 2, "0.5 s on an idle machine; this one is running tests"
    heavy = "jax", "flax", "equinox", "scipy", "numpy"
    code = f"import sys, trigru.bench.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_pinned(command):
    found = trigru(command, "--help", env={"COLUMNS": "200", "PATH": "", "NO_COLOR": "1", "TERM": "dumb"})
    assert found.returncode == 0, found.stderr
    assert set(re.findall(r"--[a-z][a-z-]*", found.stdout)) - {"--help"} == COMMANDS[command]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--port", "haiku"], "unknown port 'haiku'. Known: pure, linen, nnx, equinox"),
        (["bench", "--workload", "huge"], "unknown workload 'huge'. Known: tiny"),
        (["bench", "--phase", "backward"], "unknown phase 'backward'. Known: forward, gradient"),
        (["compare", "--style", "pmap"], "unknown call style of pure, linen, nnx, equinox 'pmap'. Known: apply"),
        (["bench", "--kernel", "cudnn"], "unknown kernel of pure, linen, nnx, equinox 'cudnn'. Known: stock"),
        (["bench", "--kernel", "fused@save=no"], "save is 'no', expected one of all, some, none"),
        (["compare", "--kernel", "stock@chunk=2"], "kernel is 'stock@chunk=2', expected stock, fused"),
        (["verify", "--dtype", "int8"], "unknown dtype 'int8'. Known: float64, float32"),
        (["report", "absent.json"], "absent.json: No such file"),
        (["diff", "absent.json", "absent.json"], "absent.json: No such file"),
        (["bench", "--sweep", "depth=1,2"], "cannot sweep 'depth=1,2'. Expected one of batch, time, inputs, hidden"),
        (["bench", "--sweep", "hidden=0"], "cannot sweep 'hidden=0'"),
        (["bench", "--sweep", "time=5", "--workload", "vowels"], "vowels has real data, which fix its time"),
        (
            ["bench", "--sweep", "hidden=4,8", "--workload", "tiny", "--workload", "question"],
            "a sweep is of one workload",
        ),
        (["bench", "--workload", "question@width=3"], "unknown workload 'question@width=3'"),
        (["bench", "--resume"], "There is no run to resume; start one without --resume"),
        (["compare", "--resume"], "There is no run to resume; start one without --resume"),
        (["convert", "absent.eqx", "p.pt"], "absent.eqx: No such file or directory"),
        (["bench", "--rounds", "3", "--processes", "1"], "fewer than 6 rounds in one process bear no 95 % interval"),
    ],
)
def test_bad_input_is_said_in_a_line_and_exits_2(tmp_path, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["trigru", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("trigru.bench.commands.verify.verify_ports", lambda *_: pytest.fail("it was verified first"))
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_the_version_is_said_without_a_command():
    found = trigru("--version")
    assert (found.returncode, found.stdout) == (0, f"trigru {version('trigru')}\n"), found.stderr


def test_bad_input_leaves_no_traceback(tmp_path):
    found = trigru("bench", "--workload", "huge", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith("error: unknown workload 'huge'")
    assert "Traceback" not in found.stderr


def test_bench_writes_a_file_and_prints_its_tables(tmp_path):
    found = trigru(
        "bench", "--quick", "--workload", "tiny", "--phase", "forward", "--port", "linen", "--seed", "7",
        "--rounds", "6", "-o", str(tmp_path / "out"),
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    results = load(tmp_path / "out" / "results.json")
    assert [b.name for b in results.benchmarks] == ["pure[jit]", "pure[jit]#2", "linen[apply]"]
    assert results.trigru.complete
    assert results.trigru.seed == 7
    assert {b.stats["rounds"] for b in results.benchmarks} == {6}
    assert "linen[apply]" in found.stdout
    assert "written:" in found.stderr
    again = trigru("report", str(tmp_path / "out"))
    assert again.stdout == found.stdout
    assert "linen[apply]" in (tmp_path / "out" / "report.md").read_text()


def test_a_port_that_fails_is_named_exits_1_and_gets_no_number(tmp_path, monkeypatch):
    """As if impls/linen.py had lost its b_hn."""
    real = linen.LinenPort.load

    def load_without_b_hn(self, config, params):
        model = real(self, config, params)
        cell = model.params.get("gru", model.params)["cell"]
        cell["hn"]["bias"] = cell["hn"]["bias"] * 0
        return model

    monkeypatch.setattr(linen.LinenPort, "load", load_without_b_hn)
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("conversion", "sequence"))
    found = invoke(*["verify", "--port", "linen", "--dtype", "float64"])
    assert found.exit_code == 1
    assert "FAILED linen: conversion: bias_n in float64" in found.stdout
    found = invoke(
        *[
            "compare",
            "--quick",
            "--workload",
            "tiny",
            "--phase",
            "forward",
            "--rounds",
            "6",
            "--port",
            "linen",
            "-o",
            str(tmp_path),
        ]
    )
    assert found.exit_code == 1
    results = load(tmp_path / "results.json")
    assert [b.name for b in results.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert [u.name for u in results.untimed] == ["linen[apply]"]
    assert results.untimed[0].reason == "not proven equal: conversion, sequence"
    assert found.output.index("linen[apply]") < found.output.index("written:") < found.output.index("In short:")
    last = found.output.rstrip().splitlines()[-1]
    assert re.fullmatch(r"Equality: FAILED: linen; pure proven equal \(\d+ of \d+ measurements failed\)\.", last)


def interrupt_before(monkeypatch, phase):
    """Ctrl-C when the groups of a phase are reached."""
    real = worker.measure_group

    def measure_group(request, arms, answer):
        if arms[0].phase == phase:
            raise KeyboardInterrupt
        return real(request, arms, answer)

    def ask(request):
        answers = []
        with suppress(KeyboardInterrupt):
            worker.measure(request, answers.append)
            yield from answers
            return
        yield from answers
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "measure_group", measure_group)
    monkeypatch.setattr("trigru.bench.timing.supervisor.ask_process", ask)


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(tmp_path, monkeypatch):
    options = ["--quick", "--workload", "tiny", "--phase", "forward", "--phase", "step", "--rounds", "6"]
    options += ["--port", "pure", "-o", str(tmp_path)]
    with monkeypatch.context() as patched:
        interrupt_before(patched, "step")
        found = invoke("bench", *options)
    assert found.exit_code == 130
    assert "the same command with --resume goes on from here" in found.stderr
    half = load(tmp_path / "results.json")
    assert not half.trigru.complete
    assert [b.facts.phase for b in half.benchmarks] == ["forward", "forward"]
    assert "INTERRUPTED" in (tmp_path / "report.md").read_text()

    other = invoke("bench", *options, "--seed", "1", "--resume")
    assert isinstance(other.exception, ResumeError)
    assert "is of another plan" in str(other.exception)
    found = invoke("bench", *options, "--resume")
    assert found.exit_code == 0, found.stderr
    whole = load(tmp_path / "results.json")
    assert whole.trigru.complete
    assert whole.trigru.interruptions == 1
    assert [b.facts.phase for b in whole.benchmarks] == ["forward", "forward", "step", "step"]
    assert [b.stats for b in whole.benchmarks[:2]] == [b.stats for b in half.benchmarks], "measured once"
    assert not (tmp_path / "results.partial.jsonl").exists()
    assert "INTERRUPTED" not in (tmp_path / "report.md").read_text()


def test_a_run_does_not_differ_from_itself(monkeypatch):
    monkeypatch.setattr("trigru.bench.analysis.statistics.RESAMPLES", 300)  # there are thousands of bootstraps
    same = invoke("diff", str(PUBLISHED), str(PUBLISHED))
    assert same.exit_code == 0, same.stderr
    assert re.match(r"none of \d+ arms slower", same.stderr)


def test_a_slower_arm_is_a_regression(tmp_path):
    data = json.loads(PUBLISHED.read_text())
    data["benchmarks"] = [b for b in data["benchmarks"] if b["group"] == "tiny/forward/float32/stock"]
    old, slow = tmp_path / "old", tmp_path / "slow"

    def write(folder):
        folder.mkdir(exist_ok=True)
        (folder / "results.json").write_text(json.dumps(data))

    write(old)
    for benchmark in data["benchmarks"]:
        if benchmark["name"] == "linen[apply]":
            benchmark["stats"]["data"] = [1.5 * time_s for time_s in benchmark["stats"]["data"]]
    write(slow)
    found = invoke("diff", str(old), str(slow))
    assert found.exit_code == 1
    assert "linen[apply]" in found.stdout
    data["trigru"]["matmul_precision"] = "tensorfloat32"
    write(slow)
    assert invoke("diff", str(old), str(slow)).exit_code == 2
    assert invoke("diff", str(old), str(slow), "--allow-other-machine").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--calibrate", "--workload", "tiny"), "its arms are its own"),
        (("--calibrate", "--kernel", "fused"), "its arms are its own"),
        (("--cold-start", "--quick"), "takes --port and --output alone"),
    ],
)
def test_options_that_would_be_ignored_are_refused(arguments, message):
    found = invoke("bench", *arguments)
    assert found.exit_code == 2
    assert message in re.sub(r"[│\s]+", " ", found.stderr)


def _answers(request):
    answers = []
    worker.measure(request, answers.append)
    return answers


def test_a_sweep_measures_each_size_and_peers_that_are_missing_are_said(tmp_path, monkeypatch):
    def missing(name):
        raise UnavailableError(f"{name} is not installed: uv run --extra peers trigru ... brings it.")

    monkeypatch.setattr("trigru.bench.arms.arms.get_peer", missing)
    monkeypatch.setattr("trigru.bench.timing.supervisor.ask_process", lambda request: iter(_answers(request)))
    options = ["--sweep", "hidden=4,8", "--phase", "step", "--port", "pure", "--rounds", "6", "--processes", "1"]
    found = invoke("bench", *options, "--peers", "-o", str(tmp_path))
    assert found.exit_code == 0, found.stderr
    results = load(tmp_path / "results.json")
    assert [b.facts.shape for b in results.benchmarks[::2]] == ["B=1 T=50 D=20 H=4", "B=1 T=50 D=20 H=8"]
    assert {u.name for u in results.untimed} == {"torch[?]", "haiku[?]", "keras[?]"}
    assert "torch is not installed: uv run --extra peers trigru ... brings it." in re.sub(r"\s+", " ", found.stdout)


def planned(monkeypatch, tmp_path, *arguments):
    """The plan of a run that is not measured."""
    found = []
    monkeypatch.setattr("trigru.bench.commands.bench.benchmark", lambda plan, *_, **__: found.append(plan))
    invoked = invoke("bench", *arguments, "-o", str(tmp_path))
    assert invoked.exit_code == 0, invoked.output
    (plan,) = found
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    return plan


def test_a_run_is_of_the_stock_kernel_unless_another_is_asked_for(monkeypatch, tmp_path):
    plan = planned(monkeypatch, tmp_path)
    assert plan.kernels == ("stock",)
    assert plan.workloads == ("tiny", "question", "vowels", "medium", "large")
    assert {arms[0].division for arms in plan.groups().values()} == {"stock"}


def test_kernels_that_are_asked_for_get_their_divisions_and_every_workload(monkeypatch, tmp_path):
    plan = planned(monkeypatch, tmp_path, "--kernel", "fused", "--kernel", "fused@save=none", "--port", "pure")
    assert plan.kernels == ("fused", "fused@save=none")
    assert plan.workloads == tuple(workload.name for workload in WORKLOADS)
    assert {arms[0].division for arms in plan.groups().values()} == {"fused"}
    both = planned(monkeypatch, tmp_path, "--kernel", "stock", "--kernel", "fused", "--quick", "--port", "pure")
    assert both.workloads == QUICK
    assert {arms[0].division for arms in both.groups().values()} == {"stock", "fused"}


def test_verify_speaks_to_machines():
    found = invoke(
        "verify", "--port", "pure", "--port", "linen", "--check", "conversion", "--check", "sequence", "--json"
    )
    assert found.exit_code == 0
    data = json.loads(found.stdout)
    assert data["schema"] == 1
    assert data["passed"]
    assert data["versions"]["jax"]
    assert data["unavailable"] == {}
    assert {m["port"] for m in data["measurements"]} == {"pure", "linen"}
    assert {m["check"] for m in data["measurements"]} == {"conversion", "sequence"}
    assert set(data["measurements"][0]) == {
        "port", "kernel", "check", "style", "quantity", "dtype", "error", "bound", "problem", "offered", "passed",
    }  # fmt: skip


def test_upstream_fails_when_something_is_not_as_on_record(monkeypatch):
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("chunks", "resets"))
    found = invoke("verify", "--upstream", "--port", "linen", "--dtype", "float64")
    assert found.exit_code == 0, found.stderr
    assert "9 departures, all on record" in found.stderr
    assert "FAILED" not in found.stdout
    module = get_upstream("linen")
    gone = [replace(d, evidence=lambda: None) if d.name == "no-resets" else d for d in module.DEPARTURES]
    monkeypatch.setattr(module, "DEPARTURES", gone)
    found = invoke("verify", "--upstream", "--port", "linen", "--dtype", "float64", "--json", "--check", "resets")
    assert found.exit_code == 1
    departures = json.loads(found.stdout)["departures"]
    assert {
        "part": "nn.RNN",
        "what": "has no episode resets",
        "seen": "not seen any more",
        "status": "GONE",
    } in departures
    assert ("fails resets", "NEW") in {(d["what"], d["status"]) for d in departures}
    assert "2 of 10 departures are not as on record" in found.stderr


def test_the_self_test_says_nothing_where_the_sound_port_fails(monkeypatch):
    real = next(m for m in FAULTS if m.name == "no-b-hn")
    monkeypatch.setattr("trigru.impls.faults.FAULTS", (real,))
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("forward", "conversion"))
    whole = equivalence.verify

    def verify(ports, **options):
        found = whole(ports, **options)
        return [replace(found[0], error=1.0), *found[1:]] if ports == [PORT] else found

    monkeypatch.setattr(equivalence, "verify", verify)
    found = invoke("verify", "--self-test")
    assert found.exit_code == 1
    assert "the port without a fault failed, too: the above says nothing" in found.stderr


def test_verify_counts_what_failed(monkeypatch):
    found = invoke("verify", "--port", "pure", "--check", "step", "--dtype", "float64")
    assert found.exit_code == 0
    assert "8 measurements, all within their bounds." in found.stderr
    whole = equivalence.verify
    monkeypatch.setattr(
        equivalence,
        "verify",
        lambda *a, **o: [replace(m, error=m.error + (m.quantity == "carry")) for m in whole(*a, **o)],
    )
    found = invoke("verify", "--port", "pure", "--check", "step", "--dtype", "float64")
    assert found.exit_code == 1
    assert "1 of 8 measurements failed." in found.stderr


def test_nothing_measured_is_no_success():
    found = invoke("verify", "--port", "pure", "--check", "chunks", "--dtype", "float32")
    assert found.exit_code == 2
    assert "nothing was measured" in found.stderr


def test_an_interrupted_verification_says_so(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(equivalence, "verify", interrupted)
    found = invoke("verify", "--port", "pure")
    assert found.exit_code == 130
    assert "interrupted: nothing was measured, nothing written." in found.stderr


def test_progress_defers_the_first_interrupt_and_lets_the_second_through():
    before = signal.getsignal(signal.SIGINT)
    with Progress("x") as progress:
        progress.to(0.1, "first")
        progress._interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt):
            progress.to(0.2, "second")
    assert signal.getsignal(signal.SIGINT) is before


#: As the command, but of what the frameworks' own parts do otherwise it looks at less: most has to be compiled.
SHORT = """
from trigru.bench.cli import main
from trigru.impls.upstream import linen, nnx
for module in (linen, nnx):
    module.DEPARTURES = tuple(d for d in module.DEPARTURES if d.name == "no-learned-state" or "conversion" in d.checks)
main()
"""


@pytest.mark.parametrize("option", [(), ("--upstream",)], ids=["ports", "upstream"])
def test_a_framework_that_is_missing_is_said_and_the_rest_goes_on(option, tmp_path):
    (tmp_path / "equinox.py").write_text("raise ImportError('not here')")
    chosen = ("--check", "conversion", "--dtype", "float32", "--json")
    command = [sys.executable, "-c", SHORT, "verify", *option, *chosen]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert "not here" in data["unavailable"]["equinox"]
    assert option or "Not checked: equinox." in found.stderr
    assert data["measurements"]


@pytest.mark.parametrize(
    "option", [("--port", "pure"), ("--dtype", "float64"), ("--check", "chunks"), ("--json",), ("--upstream",)]
)
def test_the_self_test_refuses_what_it_would_ignore(option):
    found = invoke("verify", "--self-test", *option)
    assert found.exit_code == 2
    assert "--self-test takes no other option" in re.sub(r"[│\s]+", " ", found.stderr)


def test_every_check_belongs_to_the_self_test():
    assert invoke("verify", "--every-check").exit_code == 2


def test_the_self_test_asks_a_mutants_own_check_and_the_others_where_that_fails_or_all_are_asked(monkeypatch):
    asked = []

    def verify(ports, *, checks=None):
        asked.append([check.name for check in checks] if checks else "all")
        return []

    (mutant,) = (m for m in FAULTS if m.name == "no-b-hn")
    monkeypatch.setattr("trigru.impls.faults.FAULTS", (mutant,))
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("chunks", "sequence", "step"))
    monkeypatch.setattr(equivalence, "verify", verify)
    invoke("verify", "--self-test")
    assert asked[:2] == [["sequence"], ["chunks", "step"]]
    asked.clear()
    invoke("verify", "--self-test", "--every-check")
    assert ["chunks", "sequence", "step"] in asked
    assert ["sequence"] not in asked


@pytest.mark.usefixtures("optimized")
def test_the_self_test_compiles_in_haste_and_leaves_jax_as_it_was(monkeypatch):
    names = ("jax_disable_most_optimizations", "jax_compilation_cache_dir")
    seen = []

    def verify(ports, *, checks=None):
        seen.append([_configured(name) for name in names])
        raise RuntimeError("ends early")

    before = [_configured(name) for name in names]
    monkeypatch.setattr(equivalence, "verify", verify)
    invoke("verify", "--self-test")
    ((hasty, folder),) = seen
    assert hasty
    assert folder != before[1]
    assert before == [_configured(name) for name in names] == [False, before[1]]


def test_upstream_knows_its_frameworks():
    found = trigru("verify", "--upstream", "--port", "pure")
    assert found.returncode == 2
    assert "unknown port with an upstream part 'pure'. Known: linen, nnx, equinox" in found.stderr


def test_the_self_test_fails_when_a_fault_goes_unnoticed(monkeypatch):
    harmless = Fault("harmless", "none", "sequence", PORT)
    real = next(m for m in FAULTS if m.name == "no-b-hn")
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("forward"))
    monkeypatch.setattr("trigru.impls.faults.FAULTS", (real,))
    found = invoke("verify", "--self-test")
    assert found.exit_code == 0
    assert "1 of 1 noticed" in found.stdout
    monkeypatch.setattr("trigru.impls.faults.FAULTS", (real, harmless))
    found = invoke("verify", "--self-test")
    assert found.exit_code == 1
    assert "1 of 2 noticed" in found.stdout
    assert "NONE" in found.stdout


def test_the_pytest_benchmark_suite_runs():
    chosen = "tiny and forward and (pure or linen)"
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "bench", "--benchmark-only", "-k", chosen, "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
    )
    assert found.returncode == 0, found.stdout
    assert "2 passed" in found.stdout
    assert "tiny/forward/float32/stock" in found.stdout


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


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    for output in ("file", "file/sub/folder"):
        found = invoke("bench", "--quick", "-o", str(tmp_path / output))
        assert isinstance(found.exception, NotADirectoryError)
        assert "is a file, expected a folder to write results into" in str(found.exception)


@pytest.mark.parametrize(
    ("options", "kernels"), [([], ("stock",)), (["--kernel", "fused@save=some"], ("stock", "fused@save=some"))]
)
def test_what_ratios_are_relative_to_is_verified_too(tmp_path, monkeypatch, options, kernels):
    seen = []

    def verify_ports(names, dtypes, *, kernels):  # in every check
        seen.append((names, dtypes, kernels))
        return [], {}

    monkeypatch.setattr("trigru.bench.commands.verify.verify_ports", verify_ports)
    monkeypatch.setattr("trigru.bench.commands.bench.benchmark", lambda *_, **__: None)
    invoke("compare", "--port", "linen", *options, "-o", str(tmp_path))
    assert seen == [(("pure", "linen"), DTYPES, kernels)]


def test_a_kernel_that_is_not_proven_equal_loses_its_own_arms_alone(tmp_path, monkeypatch):
    plans = []
    wrong = equivalence.Measurement("linen", "chunks", None, "carry", "float64", 1.0, 0.0, kernel="fused")
    monkeypatch.setattr("trigru.bench.commands.verify.verify_ports", lambda *_, **__: ([wrong], {}))
    monkeypatch.setattr("trigru.bench.commands.bench.benchmark", lambda plan, *_, **__: plans.append(plan))
    assert invoke("compare", "--port", "linen", "--kernel", "fused", "-o", str(tmp_path)).exit_code == 1
    (plan,) = plans
    assert plan.excluded == {"linen:fused": "not proven equal: chunks"}
    arms = {arm.name: worker._excluded(plan, arm) for arm in plan.groups()["tiny/forward/float32/fused"]}
    assert {name for name, reason in arms.items() if reason} == {"linen[apply]:fused"}


def test_a_port_that_is_missing_is_said_to_be_whatever_the_kernel(monkeypatch):
    monkeypatch.setattr("trigru.bench.commands.bench.unavailable", lambda name: "no such framework here")
    assert named_kernels(None, ("linen",)) == ("stock",)
    assert named_kernels(["fused"], ("linen",)) == ("fused",)


def test_verify_holds_the_kernels_asked_for():
    found = invoke(
        *("verify", "--port", "linen", "--port", "pure", "--check", "sequence", "--dtype", "float64"),
        *("--kernel", "stock", "--kernel", "fused@save=some", "--json"),
    )
    measurements = json.loads(found.stdout)["measurements"]
    assert {(m["port"], m["kernel"]) for m in measurements} == {
        (port, kernel) for port in ("linen", "pure") for kernel in ("stock", "fused@save=some")
    }
    assert invoke("verify", "--kernel", "fused@save=most").exception.args[0].startswith("save is 'most'")
    assert invoke("verify", "--upstream", "--kernel", "fused").exit_code == 2
    assert invoke("verify", "--self-test", "--kernel", "fused").exit_code == 2


def test_only_what_was_asked_for_is_verified(monkeypatch):
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("conversion"))
    found = invoke("verify", "--port", "linen", "--dtype", "float64", "--json")
    measurements = json.loads(found.stdout)["measurements"]
    assert {m["port"] for m in measurements} == {"linen"}
    assert {m["dtype"] for m in measurements} == {"float64"}


def test_only_the_styles_asked_for_are_timed(tmp_path):
    options = ["--quick", "--workload", "tiny", "--phase", "forward", "--rounds", "6"]
    options += ["--port", "equinox", "--style", "partition"]
    assert invoke("bench", *options, "-o", str(tmp_path)).exit_code == 0
    names = [b.name for b in load(tmp_path / "results.json").benchmarks]
    assert names == ["pure[jit]", "pure[jit]#2", "equinox[partition]"]


def test_a_port_that_is_only_inaccurate_gets_no_number_either(tmp_path, monkeypatch):
    """Right in float64, and bfloat16 where float32 is asked for."""
    monkeypatch.setattr("trigru.common.equality.verification.CHECKS", get_checks("sequence"))
    monkeypatch.setattr(linen.LinenPort, "apply", _half_precision(linen.LinenPort.apply))
    options = ["--quick", "--workload", "tiny", "--phase", "forward", "--port", "linen", "--rounds", "6"]
    found = invoke("compare", *options, "-o", str(tmp_path))
    assert found.exit_code == 1
    assert "FAILED linen: sequence: carry in float32" in found.stdout
    results = load(tmp_path / "results.json")
    assert [u.reason for u in results.untimed] == ["not proven equal: sequence"]
    report = (tmp_path / "report.md").read_text()
    assert "## Equality with the NumPy oracle" in report
    assert "not proven equal" in report


def _half_precision(apply):
    def rounded(self, model, x, carry=None, **masks):
        carry, outputs = apply(self, model, x, carry, **masks)
        if outputs.dtype == "float64":
            return carry, outputs
        return tuple(a.astype("bfloat16").astype(a.dtype) for a in (carry, outputs))

    return rounded


# Conversion ---------------------------------------------------------------------------------------------------------


def convert(monkeypatch, capsys, *arguments):
    """Run `trigru convert`; returns its exit code and what it said, which goes to stderr alone."""
    monkeypatch.setattr(sys, "argv", ["trigru", "convert", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert out == ""
    return left.value.code, err


@pytest.fixture
def of_torch(tmp_path, monkeypatch):
    """In an empty folder, a bare torch GRU's state dict as torch users save it in safetensors."""
    monkeypatch.chdir(tmp_path)
    state = TORCH.flat(random_params(GRUConfig(4, 3)))
    del state["initial_carry"]
    save_file({name.removeprefix("gru."): np.ascontiguousarray(a) for name, a in state.items()}, "torch.safetensors")
    return tmp_path


@pytest.mark.usefixtures("of_torch")
def test_convert_goes_round_the_frameworks_and_says_what_it_did(monkeypatch, capsys):
    code, said = convert(monkeypatch, capsys, "torch.safetensors", "a.eqx")
    assert code == 0
    assert said.splitlines() == [
        "torch.safetensors: torch (torch.nn.GRU), input_size 4, hidden_size 3, float32",
        "warning: it has no initial_carry: the initial state is 0.",
        "a.eqx: equinox (Equinox), written",
    ]
    for arguments in (
        ("a.eqx", "b.msgpack", "--to", "linen"),
        ("b.msgpack", "c.npz", "--to", "nnx", "--from", "linen"),
        ("c.npz", "d.safetensors", "--to", "torch"),
    ):
        code, said = convert(monkeypatch, capsys, *arguments)
        assert code == 0
        assert "warning" not in said
    before, after = load_file("torch.safetensors"), load_file("d.safetensors")
    assert not after.pop("initial_carry").any()
    assert {f"gru.{name}" for name in before} == set(after)
    for name, array in before.items():
        assert after[f"gru.{name}"].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("torch.safetensors", "a.npz"), "a.npz: say in which layout, with --to"),
        (("torch.safetensors", "a.txt"), "a.txt: unknown suffix '.txt'"),
        (("torch.safetensors", "a.eqx", "--to", "nnx"), "Equinox files hold equinox, not nnx"),
        (("torch.safetensors", "a.eqx", "--from", "linen"), "torch.safetensors: has the arrays"),
        (("torch.safetensors", "a.eqx", "--from", "keras"), "unknown layout 'keras'"),
        (("torch.safetensors", "torch.safetensors", "--to", "nnx"), "are the same file"),
        (("torch.safetensors", "./torch.safetensors", "--to", "nnx"), "are the same file"),
        (("bad.pt", "a.eqx"), "bad.pt: torch files are pickles"),
        (("bad.msgpack", "a.eqx"), "bad.msgpack: not a readable msgpack file"),
    ],
)
def test_bad_conversions_exit_2_and_leave_everything_as_it_was(of_torch, monkeypatch, capsys, arguments, message):
    for name in ("bad.pt", "bad.msgpack"):
        (of_torch / name).write_bytes(b"\xc1")
    before = {path: path.read_bytes() for path in of_torch.iterdir()}
    code, said = convert(monkeypatch, capsys, *arguments)
    assert code == 2
    assert said.startswith("error: ")
    assert message in said
    assert {path: path.read_bytes() for path in of_torch.iterdir()} == before

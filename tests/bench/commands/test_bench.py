"""`trigru bench`: plans, files, interruptions."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.cli import call, invoke
from support.processes import ask_here
from trigru.bench.analysis.merge import merge
from trigru.bench.commands.claims import claim_folder
from trigru.bench.processes.claims import ClaimedError
from trigru.bench.reporting.console import Progress
from trigru.bench.results.files import load, save
from trigru.bench.results.lines import UnfinishedError
from trigru.bench.timing import worker
from trigru.bench.timing.journal import Journal, ResumeError
from trigru.common.errors import TrigruError

ROOT = Path(__file__).parents[3]
ASK_PROCESS = "trigru.bench.timing.supervisor.ask_process"
QUICKLY = ("--quick", "--processes", "1", "--workload", "tiny")


# plans


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", "hidden=0"), "cannot read the size 'hidden=0': expected batch, time, inputs, hidden"),
        (("--size", ""), "cannot read the size ''"),
        (("--size", "hidden=8,hidden=9"), "each at most once"),
        (("--size", "units=8"), "cannot read the size 'units=8'"),
        (("--size", "hidden=999999999"), "needs about"),
        (("--size", "hidden=8", "--sweep", "hidden=8,9"), "--size and --sweep exclude each other"),
    ],
)
def test_a_size_that_cannot_be_is_refused_before_anything_starts(tmp_path, options, said):
    found = invoke("bench", *options, "-o", str(tmp_path / "out"))
    assert said in str(found.exception)
    assert not (tmp_path / "out").exists()


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


def test_an_interruption_keeps_what_was_measured_and_the_former_result(tmp_path, monkeypatch):
    options = [*QUICKLY, "--phase", "forward", "--phase", "step", "--port", "pure", "-o", str(tmp_path)]
    path, partial = tmp_path / "results.json", tmp_path / "results.partial.jsonl"
    with monkeypatch.context() as patched:
        interrupt_before(patched, "forward")
        found = invoke("bench", *options)
    assert (found.exit_code, list(tmp_path.iterdir())) == (130, [])
    assert "nothing was measured, and nothing written.\ninterrupted.\n" in found.stderr
    path.write_bytes(b"a former result")
    with monkeypatch.context() as patched:
        interrupt_before(patched, "step")
        found = invoke("bench", *options)
    assert found.exit_code == 130
    assert f"1 of 2 parts are kept in {partial}" in found.stderr
    assert path.read_bytes() == b"a former result"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.json", "results.partial.jsonl"]
    half = merge(Journal.read(partial))
    assert not half.trigru.complete
    assert [b.arm.phase for b in half.benchmarks] == ["forward", "forward"]
    told = invoke("report", str(partial))
    assert told.exit_code == 0
    assert "INTERRUPTED" in told.stdout
    assert partial.exists()

    refused = invoke("bench", *options)
    assert isinstance(refused.exception, UnfinishedError)
    assert "has 1 of 2 parts of an unfinished run, begun 20" in str(refused.exception)
    other = invoke("bench", *options, "--seed", "1", "--resume")
    assert isinstance(other.exception, ResumeError)
    assert "is of another plan" in str(other.exception)
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    found = invoke("bench", *options, "--resume")
    assert found.exit_code == 0, found.stderr
    whole = load(path)
    assert (whole.trigru.complete, whole.trigru.interruptions) == (True, 1)
    assert [b.arm.phase for b in whole.benchmarks] == ["forward", "forward", "step", "step"]
    assert [b.stats for b in whole.benchmarks[:2]] == [b.stats for b in half.benchmarks], "measured once"
    assert not partial.exists()
    assert "INTERRUPTED" not in (tmp_path / "report.md").read_text()


def test_what_an_unfinished_run_measured_is_discarded_if_that_is_asked_for(tmp_path, monkeypatch):
    options = [*QUICKLY, "--phase", "step", "--port", "pure", "-o", str(tmp_path)]
    (tmp_path / "results.partial.jsonl").write_bytes(b"hours")
    assert isinstance(invoke("bench", *options).exception, UnfinishedError)
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    assert invoke("bench", *options, "--discard").exit_code == 0
    assert load(tmp_path / "results.json").trigru.complete
    assert not (tmp_path / "results.partial.jsonl").exists()


def test_a_run_without_a_number_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "results.json").write_bytes(b"a former result")
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    monkeypatch.setattr(worker, "prepare", lambda arm: (_ for _ in ()).throw(TrigruError("it broke")))
    found = invoke("bench", *QUICKLY, "--phase", "step", "--port", "pure", "-o", str(tmp_path))
    assert found.exit_code == 1
    assert "it broke" in found.stdout
    assert "no arm has a number: " in found.stderr
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("results.json", b"a former result")]


def test_a_signal_while_the_result_is_written_waits_until_it_is(tmp_path, monkeypatch):
    def save_interrupted(results, path):
        os.kill(os.getpid(), signal.SIGTERM)
        save(results, path)

    monkeypatch.setattr(ASK_PROCESS, ask_here)
    monkeypatch.setattr("trigru.bench.commands.bench.save", save_interrupted)
    found = invoke("bench", *QUICKLY, "--phase", "step", "--port", "pure", "-o", str(tmp_path))
    assert found.exit_code == 128 + signal.SIGTERM
    assert "written: " in found.stderr
    assert found.stderr.endswith("interrupted.\n")
    assert load(tmp_path / "results.json").trigru.complete
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.md", "results.json"]


@pytest.mark.parametrize("operation", ["os.replace", "os.fsync"])
def test_where_the_result_cannot_be_written_it_stays_in_the_journal(tmp_path, monkeypatch, operation):
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    options = ["bench", *QUICKLY, "--phase", "step", "--port", "pure", "-o", str(tmp_path)]
    real = getattr(os, operation.removeprefix("os."))

    def fail(*arguments):
        if isinstance(arguments[0], int) or Path(arguments[-1]).parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    (tmp_path / "results.json").write_bytes(b"a former result")
    with monkeypatch.context() as patched:
        patched.setattr("trigru.bench.processes.claims._folder", lambda: None)
        patched.setattr(operation, fail)
        code, _, err = call(*options)
    assert code == 2
    assert "error: [Errno 28] No space left on device" in err
    assert "1 of 1 parts are kept in" in err
    assert (tmp_path / "results.json").read_bytes() == b"a former result"
    assert invoke(*options, "--resume").exit_code == 0
    assert load(tmp_path / "results.json").trigru.complete


def test_two_runs_into_one_folder_or_on_one_machine_are_told_of_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(ASK_PROCESS, ask_here)
    options = ["bench", *QUICKLY, "--phase", "step", "--port", "pure", "-o"]
    with claim_folder(tmp_path / "first"):
        found = invoke(*options, str(tmp_path / "first"))
        assert isinstance(found.exception, ClaimedError)
        assert f"first is in use by another trigru (process {os.getpid()}, since " in str(found.exception)
        found = invoke(*options, str(tmp_path / "second"))
        assert isinstance(found.exception, ClaimedError)
        assert "this machine is in use by another trigru" in str(found.exception)
    assert not (tmp_path / "first").exists()
    assert invoke(*options, str(tmp_path / "first")).exit_code == 0


def test_who_waits_begins_when_another_run_into_the_folder_has_ended(tmp_path, monkeypatch):
    said, other = [], ExitStack()
    other.enter_context(claim_folder(tmp_path, timing=False))

    def say(sentence):
        said.append(sentence)
        other.close()

    monkeypatch.setattr("trigru.bench.commands.claims.say", say)
    with claim_folder(tmp_path, wait=True):
        (sentence,) = said
    assert sentence.startswith(f"{tmp_path} is in use by another trigru (process {os.getpid()}, since ")
    assert sentence.endswith(" Waiting.")


def test_progress_goes_to_a_share_or_on_by_one():
    with Progress("x") as progress:
        shown = []
        for go in (lambda: progress.to(0.5, "a"), lambda: progress.to(0.5, "b"), lambda: progress.add("c", 0.25)):
            go()
            shown.append(progress._bar.tasks[0].completed)
    assert shown == [0.5, 0.5, 0.75]


def test_where_nobody_watches_a_line_says_how_far_it_is_and_how_long_it_will_take(capsys, monkeypatch):
    with Progress("x") as progress:
        task = progress._bar.tasks[0]
        monkeypatch.setattr(type(task), "elapsed", 6.0)
        progress.to(0.25, "tiny")
        progress.to(0.5, "never said so soon")
    assert capsys.readouterr().err.splitlines()[0] == "25 % after 6 s, about 18 s left: tiny"


def test_the_pytest_benchmark_suite_runs():
    chosen = "tiny and forward and (pure or linen)"
    command = [sys.executable, "-m", "pytest", "bench", "--benchmark-only", "-k", chosen, "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert found.returncode == 0, found.stdout
    assert "4 passed" in found.stdout
    assert "tiny/forward/float32/stock" in found.stdout

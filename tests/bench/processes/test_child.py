"""Processes of their own: how they are heard, how their deaths are told, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import msgspec
import pytest
from support.processes import ARMS, PLAN, ends_within, is_alive
from trigru.bench.processes.child import (
    Child,
    ChildDiedError,
    JaxEnvironmentError,
    answers_of,
    check_jax,
    environment,
    interpreter,
    parts_of_cpu,
)
from trigru.bench.processes.commands import run_command
from trigru.bench.timing.supervisor import Stage, TimingRequest, Turns, ask_process

REQUEST = TimingRequest(PLAN, ARMS, 0, "cpu", ".")
LINE = '{"type":"Stage","what":"sit","share":0.5}'
SAT = Stage("sit", 0.5)
PATIENCE_S = 20.0


@pytest.fixture
def child_does(tmp_path, monkeypatch):
    """Puts a shell script in the interpreter's place."""

    def put(script):
        file = tmp_path / "python"
        file.write_text(
            f'#!/bin/sh\ncd {tmp_path}\necho "$@" > arguments\necho $$ > pid\n{script}\n'
        )
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return put


def answers_until_death(request=REQUEST, limit_s=PATIENCE_S):
    """What a child answers once it was started, and how it died."""
    answers = []
    with pytest.raises(ChildDiedError) as caught:
        answers += ask_process(request, limit_s, Event())
    assert answers.pop(0) is None
    return answers, str(caught.value)


def test_flags_of_a_child_come_after_those_of_the_user_since_xla_takes_the_last(
    monkeypatch,
):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    ours = "--xla_force_host_platform_device_count=2"
    assert parts_of_cpu(2) == {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {ours}"
    }
    assert parts_of_cpu(1) == parts_of_cpu(None) == {}
    monkeypatch.delenv("XLA_FLAGS")
    assert parts_of_cpu(2) == {"XLA_FLAGS": ours}


def test_a_child_gets_the_request_and_its_answers_come_back(child_does):
    folder = child_does(
        f"head -n 1 > request; echo '{LINE}'; echo '{LINE}'; echo noise >&2"
    )
    with Turns(folder) as another, ThreadPoolExecutor(1) as pool:
        another.acquire_exclusive()
        answers = pool.submit(list, ask_process(REQUEST, PATIENCE_S, Event()))
        with pytest.raises(TimeoutError):  # none starts while another one times
            answers.result(0.5)
        another.close()
        assert answers.result() == [None, SAT, SAT]
    assert (
        msgspec.json.decode((folder / "request").read_bytes(), type=TimingRequest)
        == REQUEST
    )
    words = (
        "-P -m trigru.bench.processes.child trigru.bench.timing.worker:answer_request"
    )
    assert (folder / "arguments").read_text().strip() == words


DEATHS = {
    "kill -11 $$": "died: killed by signal 11",
    "echo 'Unknown flag' >&2; kill -6 $$": "died: Unknown flag",  # who aborts says why
    "echo Traceback >&2; echo 'ValueError: no such thing' >&2; exit 1": "died: ValueError: no such thing",
    "echo killed on purpose >&2; kill -9 $$": "died: killed by signal 9",
    f"printf '{LINE[:9]}'; kill -9 $$": "died: killed by signal 9",  # in the middle of an answer
    "exit 3": "died: exit code 3",
    'echo \'{"type":"Stage"}\'; exec sleep 20': "sent what is no answer: Object missing required field `what`",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_comes_with_its_cause(child_does, death):
    child_does(f"head -n 1 > request; echo '{LINE}'; {death}")
    assert answers_until_death() == ([SAT], f"the process {DEATHS[death]}")


def test_a_death_before_the_request_is_read_is_a_death(child_does):
    child_does("echo 'ImportError: no JAX' >&2; exit 1")
    long = msgspec.structs.replace(REQUEST, programs="x" * 10**6)
    assert answers_until_death(long) == ([], "the process died: ImportError: no JAX")


def test_silence_for_longer_than_the_limit_ends_a_child_with_all_that_it_started(
    child_does,
):
    folder = child_does(
        f"sleep 20 & echo $! > other; echo '{LINE}'; sleep 0.5; echo '{LINE}'; wait"
    )
    start = time.monotonic()
    assert answers_until_death(limit_s=1.0) == (
        [SAT, SAT],
        "the process said nothing for 1 s, and was ended",
    )
    assert time.monotonic() - start < 6, (
        "about 1.5 s, or somewhat more on a busy machine"
    )
    for name in ("pid", "other"):
        assert ends_within(int((folder / name).read_text()), 1)


# Children whose parent ends

#: What a child is busy with when its parent is killed: what Python runs first, its module, or the function in that.
MOMENTS = {
    "starting": ("say_pid(); time.sleep(0.7)", "", "sit()"),
    "importing": ("", "say_pid(); sit()", "pass"),
    "working": ("", "", "say_pid(); sit()"),
    "measuring": (
        "",
        "",
        "say_pid(); ctypes.PyDLL(None).sleep(20)",
    ),  # no other thread runs meanwhile
    "ending with stdin alone": ("sys.platform = 'other'", "", "say_pid(); sit()"),
}
PARENT = """
import sys
from trigru.bench.processes import child
list(child.answers_of(sys.argv[1], {}, int, 60.0))
"""
CHILD = f"""
import ctypes, os, sys, time

def say_pid():
    print(os.getpid(), file=open(os.environ["PID_FILE"], "w"), flush=True)

def sit():
    time.sleep({PATIENCE_S})

"""
FUNCTION = """
def work(request: object, answer):
    """


@pytest.fixture
def its_children(tmp_path, monkeypatch):
    """Lets modules of the test's own run as a package's children; gives the path that knows them."""
    folder = tmp_path / "its_children"
    folder.mkdir()
    monkeypatch.setenv(
        "PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    )
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    return folder


def pid_of_child(its_children, parent, how):
    """The process that a parent has started when that is ended by a signal."""
    pid_file = its_children.parent / "pid"
    with subprocess.Popen([sys.executable, "-c", *parent]) as process:
        until = time.monotonic() + PATIENCE_S
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            assert time.monotonic() < until, "the child did not start"
            time.sleep(0.01)
        pid = int(pid_file.read_text())
        assert is_alive(pid)
        process.send_signal(how)
    return pid


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_parent_that_is_killed_leaves_no_child_alive_a_second_later(
    its_children, moment, how
):
    first, module, function = MOMENTS[moment]
    first = f"{CHILD}if 'TRIGRU_PARENT' in os.environ: {first or 'pass'}"
    (its_children.parent / "sitecustomize.py").write_text(first)
    (its_children / "child.py").write_text(CHILD + module + FUNCTION + function)
    pid = pid_of_child(its_children, (PARENT, "its_children.child:work"), how)
    assert ends_within(pid, 1.0 + (moment == "starting"))


COMMAND = """
import os
from trigru.bench.processes.commands import run_command
run_command(["sh", "-c", "sleep 60 & echo $! > $PID_FILE; wait"], os.environ, 60.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_parent_that_is_killed_leaves_nothing_of_a_command_alive(its_children):
    assert ends_within(pid_of_child(its_children, (COMMAND,), signal.SIGKILL), 5.0)


def test_a_command_says_how_it_ended():
    for script, limit_s, end in (
        ("exit 0", PATIENCE_S, (0, "")),
        ("echo a >&2; echo b >&2; exit 3", PATIENCE_S, (3, "b")),
        ("kill $$", PATIENCE_S, (-15, "exit code -15")),
        ("sleep 60", 0.1, (124, "it took longer than 0.1 s")),
    ):
        assert run_command(["sh", "-c", script], os.environ, limit_s) == end
    assert run_command(["there-is-none"], os.environ, 1.0) == (
        127,
        "there-is-none: No such file or directory",
    )


def test_a_child_leaves_ctrl_c_to_its_parent_and_stdout_to_its_answers(its_children):
    body = f"print('noise'); os.system('echo noise'); os.kill(os.getpid(), {int(signal.SIGINT)}); answer(request)"
    (its_children / "child.py").write_text(CHILD + FUNCTION + body)
    assert list(
        answers_of("its_children.child:work", "a request", str, PATIENCE_S)
    ) == ["a request"]


def test_a_child_that_nobody_needs_any_more_is_ended(child_does):
    folder, stop = (
        child_does(f"head -n 1 > request; echo '{LINE}'; exec sleep 20"),
        Event(),
    )
    with Child("any") as child:
        answers = child.answers_to("a request", dict, PATIENCE_S, stop)
        assert next(answers)
        stop.set()
        start = time.monotonic()
        with pytest.raises(ChildDiedError, match="nobody needs it any more"):
            next(answers)
        assert time.monotonic() - start < PATIENCE_S / 2
    assert not is_alive(int((folder / "pid").read_text()))


# Files in the current folder


def test_nothing_is_imported_from_the_current_folder(tmp_path, monkeypatch):
    """Not by a worker, nor by what is tried, nor by what such a process starts. All import modules of such names."""
    for name in ("queue", "types", "signal", "msgspec", "jax", "numpy", "secrets"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'marker')!r}, 'a').write('{name} ')"
        )
    monkeypatch.chdir(tmp_path)
    for module in (
        "timing.worker",
        "proving.questions",
        "upgrades.worker",
    ):
        with pytest.raises(ChildDiedError, match="the process died"):
            list(answers_of(f"trigru.bench.{module}:answer_request", 0, str, 60.0))
    subprocess.run(interpreter("-c", "import queue, secrets"), check=True)
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import secrets'], check=True)"
    subprocess.run(interpreter("-c", inner), env=environment(), check=True)
    assert not (tmp_path / "marker").exists()


# Whether JAX starts

#: A child of the test's own: it notes that it was started, and answers or stays silent.
STARTED = "open(os.environ['PID_FILE'], 'a').write('started ')"
GOOD_CHILD = f"{CHILD}{FUNCTION}{STARTED}"
SILENT_CHILD = f"{CHILD}{FUNCTION}sit()"


@pytest.fixture
def no_settings_of_jax(monkeypatch):
    for name in list(os.environ):
        if name.startswith(
            ("JAX_", "XLA_", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LIBTPU_")
        ):
            monkeypatch.delenv(name)


def test_without_settings_no_start_of_jax_is_tried(its_children, no_settings_of_jax):
    (its_children / "good.py").write_text(GOOD_CHILD)
    check_jax("its_children.good:work")
    assert not (its_children.parent / "pid").exists()


def test_the_same_settings_are_tried_once(
    its_children, no_settings_of_jax, monkeypatch
):
    (its_children / "good.py").write_text(GOOD_CHILD)
    monkeypatch.setenv(
        "JAX_PLATFORMS", f"cpu,{its_children}"
    )  # which no other test has tried
    check_jax("its_children.good:work")
    check_jax("its_children.good:work")
    assert (its_children.parent / "pid").read_text() == "started "


def test_a_jax_that_says_nothing_is_given_up(
    its_children, no_settings_of_jax, monkeypatch
):
    (its_children / "silent.py").write_text(SILENT_CHILD)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    message = "JAX does not start with JAX_PLATFORMS=cpu: said nothing for 0.2 s, and was ended"
    with pytest.raises(JaxEnvironmentError, match=message):
        check_jax("its_children.silent:work", limit_s=0.2)


def test_jax_starts_with_good_settings(no_settings_of_jax, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()

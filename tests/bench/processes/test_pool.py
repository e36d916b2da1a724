"""A pool of processes: what comes of tasks, how deaths are told, whose turn it is."""

import itertools
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from support.processes import ends_within, is_alive
from trigru.bench.processes import pool as pool_module
from trigru.bench.processes.child import Parent, task_type_of
from trigru.bench.processes.environment import environment, interpreter
from trigru.bench.processes.pool import ChildDiedError, Pool, TaskEnded, messages_of

#: Longer than anything takes here, also on a machine that does much else.
PATIENCE_S = 60.0


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """Writes a module of workers; gives what starts the name of each."""
    folder = tmp_path / "modules"
    folder.mkdir()
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)

    def write(code):
        (folder / "workers.py").write_text(IMPORTS + code, encoding="utf-8")
        return "workers:work"

    return write


IMPORTS = """
import os, signal, sys, time
from trigru.bench.processes.child import Parent
"""
ECHO = """
def work(parent: Parent[str]) -> None:
    for task in parent.tasks():
        parent.send(task.upper())
        parent.send(os.getpid())
"""
DIES_OF_BAD = """
def work(parent: Parent[str]) -> None:
    for task in parent.tasks():
        parent.send("begun")
        if task == "bad":
            os.kill(os.getpid(), signal.SIGKILL)
"""


def results_of(pool, tasks):
    """What comes of tasks, by task."""
    for task in tasks:
        pool.submit(task)
    results = {task: [] for task in tasks}
    for task, message in pool.messages():
        results[task].append(message)
    return results


def test_each_task_gets_its_messages_and_its_end(workers):
    with Pool(workers(ECHO), str | int, limit_s=PATIENCE_S, processes=2) as pool:
        results = results_of(pool, ["a", "b", "c"])
    for task, messages in results.items():
        assert messages[0] == task.upper()
        assert messages[-1] == TaskEnded()


@pytest.mark.parametrize(("reuse", "processes"), [(False, 3), (True, 1)])
def test_a_process_takes_one_task_or_one_after_the_other(workers, reuse, processes):
    with Pool(workers(ECHO), str | int, limit_s=PATIENCE_S, reuse=reuse) as pool:
        results = results_of(pool, ["a", "b", "c"])
    pids = {messages[1] for messages in results.values()}
    assert len(pids) == processes


@pytest.mark.parametrize("reuse", [False, True])
def test_a_death_ends_its_task_and_no_other(workers, reuse):
    worker = workers(DIES_OF_BAD)
    with Pool(worker, str, limit_s=PATIENCE_S, reuse=reuse) as pool:
        results = results_of(pool, ["good", "bad", "fine"])
    assert results["good"] == results["fine"] == ["begun", TaskEnded()]
    begun, ended = results["bad"]
    assert begun == "begun"
    assert str(ended.error) == "the process died: killed by signal 9"
    assert ended.was_begun


def test_a_task_can_be_submitted_again_while_messages_are_read(workers):
    with Pool(workers(DIES_OF_BAD), str, limit_s=PATIENCE_S) as pool:
        pool.submit("bad")
        ended = []
        for task, message in pool.messages():
            if isinstance(message, TaskEnded):
                ended.append(task)
                if task == "bad":
                    pool.submit("good")
    assert ended == ["bad", "good"]


def test_a_process_that_dies_before_it_takes_a_task_loses_the_next_one():
    with Pool("there.is.none:work", str, limit_s=PATIENCE_S) as pool:
        results = results_of(pool, ["a", "b"])
    for (ended,) in results.values():
        assert not ended.was_begun
        assert "No module named 'there'" in str(ended.error)


def test_processes_that_start_early_take_the_tasks_that_come_later(workers):
    worker = workers(ECHO)
    with Pool(worker, str | int, limit_s=PATIENCE_S, processes=2, reuse=True) as pool:
        pool.start()
        results = results_of(pool, ["a", "b"])
    assert [messages[0] for messages in results.values()] == ["A", "B"]


TAKES_TURNS = """
def work(parent: Parent[str]) -> None:
    for folder in parent.tasks():
        with parent.alone():
            # fails if another process is alone at the same time
            os.mkdir(folder + "/alone")
            time.sleep(0.05)
            os.rmdir(folder + "/alone")
        for _ in range(20):
            time.sleep(0.005)
            assert not os.path.exists(folder + "/alone"), "it works beside one alone"
        parent.send("had a turn")
"""


def test_no_two_processes_work_alone_at_the_same_time(workers, tmp_path):
    with Pool(workers(TAKES_TURNS), str, limit_s=PATIENCE_S, processes=3) as pool:
        for _ in range(6):
            pool.submit(str(tmp_path))
        messages = [message for _, message in pool.messages()]
    assert messages.count("had a turn") == 6
    assert messages.count(TaskEnded()) == 6


STAYS_ALONE = """
def work(parent: Parent[str]) -> None:
    for folder in parent.tasks():
        with parent.alone():
            for number in range(3):
                parent.send(number)
                while not os.path.exists(f"{folder}/{number}"):
                    time.sleep(0.01)
"""


def test_no_process_is_started_while_another_works_alone(
    workers, tmp_path, monkeypatch
):
    started = []
    start = subprocess.Popen

    def popen(*arguments, **options):
        started.append(arguments)
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with Pool(workers(STAYS_ALONE), int, limit_s=PATIENCE_S, processes=2) as pool:
        pool.submit(str(tmp_path))
        messages = pool.messages()
        for number in range(3):
            assert next(messages) == (str(tmp_path), number)
            if number == 0:
                pool.submit(str(tmp_path))
            assert len(started) == 1
            (tmp_path / str(number)).touch()


WAITS_FOR_OTHERS = """
def work(parent: Parent[list[str]]) -> None:
    for name, folder in parent.tasks():
        if name == "works":
            parent.send("works")
            while not os.path.exists(folder + "/enough"):
                time.sleep(0.01)
            open(folder + "/done", "w").close()
        else:
            with parent.alone():
                parent.send(os.path.exists(folder + "/done"))
"""


def test_who_wants_to_work_alone_waits_until_no_other_process_works(workers, tmp_path):
    worker = workers(WAITS_FOR_OTHERS)
    with Pool(worker, str | bool, limit_s=PATIENCE_S, processes=2) as pool:
        pool.submit(["works", str(tmp_path)])
        pool.submit(["waits", str(tmp_path)])
        messages = []
        for _, message in pool.messages():
            messages.append(message)
            if message == "works":
                (tmp_path / "enough").touch()
    assert True in messages
    assert False not in messages


DIES_ALONE = """
def work(parent: Parent[str]) -> None:
    for task in parent.tasks():
        with parent.alone():
            parent.send(task)
            if task == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_dies_alone_leaves_the_turn_to_the_others(workers):
    with Pool(workers(DIES_ALONE), str, limit_s=PATIENCE_S, processes=2) as pool:
        results = results_of(pool, ["dies", "lives"])
    assert results["dies"][-1].error is not None
    assert results["lives"] == ["lives", TaskEnded()]


# Processes that are no workers: a shell script in the interpreter's place


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Puts a shell script in the interpreter's place; returns its folder."""

    def put(commands):
        file = tmp_path / "python"
        file.write_text(
            f"#!/bin/sh\ncd {tmp_path}\n"
            f'echo "$@" > arguments\necho $$ > pid\n{commands}\n',
            encoding="utf-8",
        )
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))
        return tmp_path

    return put


TAKE = "echo next; head -n 1 > task"


def messages_until_death(task="a task", limit_s=PATIENCE_S):
    """What a process says, and how it died."""
    messages = []
    with pytest.raises(ChildDiedError) as caught:
        messages.extend(messages_of("module:work", task, int, limit_s))
    return messages, str(caught.value)


def test_a_process_is_told_its_worker_and_gets_its_task(script):
    folder = script(f"{TAKE}; echo 'message 1'; echo 'message 2'; echo noise >&2")
    assert list(messages_of("module:work", ["a", 1], int, PATIENCE_S)) == [1, 2]
    assert (folder / "task").read_text(encoding="utf-8") == 'task ["a",1]\n'
    arguments = (folder / "arguments").read_text(encoding="utf-8")
    assert arguments == "-P -m trigru.bench.processes.child module:work\n"


DEATHS = {
    "kill -11 $$": "died: killed by signal 11",
    # who aborts says why
    "echo 'Unknown flag' >&2; kill -6 $$": "died: Unknown flag",
    "echo Traceback >&2; echo 'ValueError: no' >&2; exit 1": "died: ValueError: no",
    "echo killed on purpose >&2; kill -9 $$": "died: killed by signal 9",
    # in the middle of a message
    "printf 'message 4'; kill -9 $$": "died: killed by signal 9",
    "exit 3": "died: exit code 3",
    "echo 'message true'; exec sleep 20": (
        "sent what is no answer: Expected `int`, got `bool`"
    ),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_comes_with_its_cause(script, death):
    script(f"{TAKE}; echo 'message 1'; {death}")
    assert messages_until_death() == ([1], f"the process {DEATHS[death]}")


def test_a_death_before_the_task_is_taken_is_a_death(script):
    script("echo 'ImportError: no JAX' >&2; exit 1")
    assert messages_until_death() == ([], "the process died: ImportError: no JAX")


def test_a_death_while_a_long_task_is_sent_is_a_death(script):
    script("echo next; echo 'Killed' >&2; exit 1")
    assert messages_until_death("x" * 10**6) == ([], "the process died: Killed")


def test_an_end_without_a_task_is_a_death(script):
    script("exit 0")
    assert messages_until_death() == ([], "the process ended without a task")


def wait_for(file):
    """Wait until a file is there; return what it says."""
    until_s = time.monotonic() + PATIENCE_S
    while not (file.exists() and file.read_text(encoding="utf-8")[-1:] == "\n"):
        assert time.monotonic() < until_s, f"{file} did not come"
        time.sleep(0.01)
    return file.read_text(encoding="utf-8")


def death_when_there_is(file):
    """How a process dies that says 1, is silent from then on, and has made a file."""
    with Pool("module:work", int, limit_s=PATIENCE_S) as pool:
        pool.submit("a task")
        messages = pool.messages()
        assert next(messages) == ("a task", 1)
        wait_for(file)
        pool.limit_s = 0.1
        ((_, ended),) = messages
    return str(ended.error)


def test_silence_for_longer_than_the_limit_ends_a_process_with_all_that_it_started(
    script,
):
    folder = script(f"{TAKE}; sleep 600 & echo $! > other; echo 'message 1'; wait")
    death = death_when_there_is(folder / "other")
    assert death == "the process said nothing for 0.1 s, and was ended"
    for name in ("pid", "other"):
        pid = int((folder / name).read_text(encoding="utf-8"))
        assert ends_within(pid, PATIENCE_S)


def test_a_process_that_closes_its_output_and_does_not_end_is_ended(script):
    closes = "exec >&-; echo > closed; exec sleep 600"
    folder = script(f"{TAKE}; echo 'message 1'; {closes}")
    death = death_when_there_is(folder / "closed")
    assert death == "the process did not end within 0.1 s, and was ended"


ANSWERED = """
def work(parent: Parent[str]) -> None:
    for folder in parent.tasks():
        for number in range(8):
            parent.send(number)
            while not os.path.exists(f"{folder}/{number}"):
                time.sleep(0.01)
"""


def test_a_process_that_speaks_lives_though_this_one_was_stopped_meanwhile(
    workers, tmp_path, monkeypatch
):
    # as if this process had been stopped for long in each wait, which is 20 s at most
    clock = itertools.count(0.0, 1000.0)
    stopped = SimpleNamespace(monotonic=lambda: next(clock), sleep=time.sleep)
    monkeypatch.setattr(pool_module, "time", stopped)
    monkeypatch.setattr(pool_module, "SLICE_S", 20.0)
    with Pool(workers(ANSWERED), int, limit_s=PATIENCE_S) as pool:
        pool.submit(str(tmp_path))
        messages = []
        for _, message in pool.messages():
            messages.append(message)
            if not isinstance(message, TaskEnded):
                (tmp_path / str(message)).touch()
    assert messages == [*range(8), TaskEnded()]


def test_what_a_process_started_may_hold_its_output_longer_than_it_lives(script):
    script(f"{TAKE}; sleep 600 & echo 'message 1'; exit 0")
    assert list(messages_of("module:work", "a task", int, PATIENCE_S)) == [1]


def test_the_processes_of_a_pool_end_with_its_context(script):
    folder = script(f"{TAKE}; echo 'message 1'; exec sleep 600")
    with Pool("module:work", int, limit_s=PATIENCE_S) as pool:
        pool.submit("a task")
        assert next(pool.messages()) == ("a task", 1)
    assert not is_alive(int((folder / "pid").read_text(encoding="utf-8")))


# Processes whose parent ends

#: What a process is busy with when its parent is killed: what Python runs first, its
#: module, or its function.
MOMENTS = {
    "starting": ("say_pid(); time.sleep(0.7)", "", "time.sleep(600)"),
    "importing": ("", "say_pid(); time.sleep(600)", "pass"),
    "working": ("", "", "say_pid(); time.sleep(600)"),
    # no other thread runs meanwhile
    "measuring": ("", "", "say_pid(); ctypes.PyDLL(None).sleep(600)"),
    "ending with stdin alone": (
        "sys.platform = 'other'",
        "",
        "say_pid(); time.sleep(600)",
    ),
}
CHILD = """
import ctypes, os, sys, time

def say_pid():
    with open(os.environ["PID_FILE"], "w") as file:
        print(os.getpid(), file=file, flush=True)

"""
FUNCTION = """
from trigru.bench.processes.child import Parent
def work(parent: Parent[object]):
    for task in parent.tasks():
        """
PARENT = """
from trigru.bench.processes.pool import messages_of
list(messages_of("workers:work", None, int, 600.0))
"""
COMMAND = """
import os
from trigru.bench.processes.commands import run_command
run_command(["sh", "-c", "sleep 600 & echo $! > $PID_FILE; wait"], os.environ, 600.0)
"""


@pytest.fixture
def pid_when_killed(tmp_path, monkeypatch):
    """Runs a parent, and ends it by a signal when its child has said its process id."""
    file = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(file))

    def kill(parent, number):
        with subprocess.Popen([sys.executable, "-c", parent]) as process:
            pid = int(wait_for(file))
            assert is_alive(pid)
            process.send_signal(number)
        return pid

    return kill


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_parent_that_is_killed_leaves_no_process_alive(
    workers, pid_when_killed, tmp_path, moment, number
):
    first, module, function = MOMENTS[moment]
    workers("")
    folder = tmp_path / "modules"
    first = f"{CHILD}if 'TRIGRU_PARENT' in os.environ: {first or 'pass'}"
    (folder / "sitecustomize.py").write_text(first, encoding="utf-8")
    code = CHILD + module + FUNCTION + function
    (folder / "workers.py").write_text(code, encoding="utf-8")
    assert ends_within(pid_when_killed(PARENT, number), PATIENCE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_parent_that_is_killed_leaves_nothing_of_a_command_alive(pid_when_killed):
    assert ends_within(pid_when_killed(COMMAND, signal.SIGKILL), PATIENCE_S)


NOISY = f"""
def work(parent: Parent[str]) -> None:
    for task in parent.tasks():
        print("noise")
        os.system("echo noise")
        os.kill(os.getpid(), {int(signal.SIGINT)})
        parent.send(task)
"""


def test_a_process_leaves_ctrl_c_to_its_parent_and_stdout_to_its_messages(workers):
    messages = messages_of(workers(NOISY), "a task", str, PATIENCE_S)
    assert list(messages) == ["a task"]


# Files in the current folder

SHADOWED = ("queue", "types", "signal", "msgspec", "jax", "numpy", "secrets")


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that modules of common names in the current folder would write."""
    here = tmp_path / "here"
    here.mkdir()
    marker = tmp_path / "marker"
    for name in SHADOWED:
        code = f"open({str(marker)!r}, 'a').write('{name} ')"
        (here / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(here)
    return marker


@pytest.mark.parametrize("room", ["proving.questions"])
def test_no_worker_imports_from_the_current_folder(room, marker):
    with pytest.raises(ChildDiedError, match="the process died"):
        list(messages_of(f"trigru.bench.{room}:answer_tasks", 0, str, PATIENCE_S))
    assert not marker.exists()


def test_what_a_process_starts_imports_nothing_from_the_current_folder(marker):
    subprocess.run(interpreter("-c", "import queue, secrets"), check=True)
    inner = (
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c', 'import secrets'], check=True)"
    )
    subprocess.run(interpreter("-c", inner), env=environment(), check=True)
    assert not marker.exists()


def test_a_worker_says_of_which_type_its_tasks_are():
    def work(parent: Parent[tuple[int, str]]) -> None: ...

    assert task_type_of(work) == tuple[int, str]

"""Questions that processes ask: each has its answer, whatever ends a process."""

import os
import time

import msgspec
import pytest
from support.processes import is_alive
from support.runs import EQUAL
from trigru.bench.processes.pool import ChildDiedError
from trigru.bench.proving.messages import PortId, QuestionId
from trigru.bench.proving.prover import Prover, tasks_of
from trigru.bench.proving.questions import expand, find, get_subject
from trigru.common.equality import verification
from trigru.common.equality.checks import CHECKS, DTYPES, get_checks
from trigru.common.equality.contract.cases import FLOAT32, FLOAT64, Case
from trigru.common.equality.contract.named import style_of
from trigru.common.equality.verification import verify
from trigru.common.errors import InputError, UnknownNameError
from trigru.common.port.styles import available_styles
from trigru.impls import get_port

PURE = PortId("pure")
CHECKED = get_checks("conversion", "held", "start", "golden", "closed")
FEW = expand([PURE], DTYPES, CHECKED)


def ignore(done, question):
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("TRIGRU_NO_CACHE", "1")


# Which questions are asked


def called(styles):
    """The call styles and phases of the cases that are asked."""
    questions = expand([PURE], ("float64",), get_checks("styles"), styles)
    return {(style_of(q.case, get_port("pure")), q.case.phase) for q in questions}


def test_of_a_phase_only_the_call_styles_that_were_named_are_asked():
    forward = {"forward": ["leaves"]}
    assert called(forward) == {("leaves", "forward")}


def test_none_stands_for_all_call_styles_of_a_phase():
    trained = available_styles(get_port("pure"), "train_step")
    expected = {(style.name, "train_step") for style in trained}
    assert called({"train_step": None}) == expected


def test_without_named_call_styles_all_are_asked():
    assert called({"forward": None, "train_step": None}) < called(None)


def test_a_port_that_is_named_twice_is_asked_once():
    checks = get_checks("lengths", "held")
    once = expand([PURE], DTYPES, checks)
    assert once
    assert expand([PURE, PURE], DTYPES, checks) == once


def test_what_is_to_be_asked_can_be_iterators():
    checks = get_checks("lengths", "held")
    questions = expand(iter([PURE]), iter(DTYPES), iter(checks))
    assert questions == expand([PURE], DTYPES, checks)


def test_each_dtype_is_asked():
    questions = expand([PURE], ("float64", "float32"), get_checks("lengths"))
    assert {question.case.dtypes for question in questions} >= {FLOAT64, FLOAT32}


def test_a_command_asks_what_verify_asks():
    port, checks = get_port("pure"), get_checks("lengths", "held")
    questions = expand([PURE], DTYPES, checks)
    assert len(verification.questions([port], DTYPES, checks)) == len(questions)


def test_an_unknown_dtype_is_refused():
    with pytest.raises(UnknownNameError, match="unknown dtype 'float8'"):
        expand([PURE], ["float8"], CHECKED)


def test_no_check_is_refused():
    with pytest.raises(InputError, match="there is no check to ask"):
        expand([PURE], DTYPES, ())


@pytest.mark.parametrize("subject", [PURE, PortId("linen", "fused")])
def test_a_question_is_found_again_by_its_names(subject):
    for question in expand([subject], DTYPES, CHECKS):
        text = msgspec.json.encode(question)
        port, check, case = find(msgspec.json.decode(text, type=QuestionId))
        assert port is get_subject(subject)
        assert (check.name, case) == (question.check, question.case)


def test_a_port_is_found_on_its_kernel():
    assert get_subject(PortId("linen", "fused")).kernel == "fused"


def test_questions_about_one_case_are_one_task():
    linen = PortId("linen")
    questions = expand([PURE, linen], ("float64",), get_checks("step", "held"))
    for task in tasks_of(questions):
        cases = [question.case for question in task.values()]
        if cases[0] is None:
            assert len(cases) == 1
        else:
            assert cases == [cases[0]] * 2
            assert [q.subject for q in task.values()] == [PURE, linen]


def test_what_takes_longest_is_asked_first():
    compiled = Case(run="compiled", phase="forward")
    questions = [FEW[0], QuestionId(PURE, "styles", compiled)]
    assert [list(task) for task in tasks_of(questions)] == [[1], [0]]


# Who answers


@pytest.mark.parametrize("early", [False, True])
def test_processes_measure_what_this_one_does_in_the_order_of_the_questions(early):
    with Prover(processes=2, early=early) as prover:
        proven = prover.prove(FEW, ignore)
    here = verify([get_port("pure")], checks=CHECKED)
    assert [str(m) for m in proven.measurements] == [str(m) for m in here]
    assert all(m.passed for m in proven.measurements)
    assert proven.died == []
    assert proven.backend == "cpu"


def test_few_questions_are_answered_by_this_process():
    with Prover(worker="there.is.none:work") as prover:
        proven = prover.prove(FEW[:2], ignore)
    assert [m.check for m in proven.measurements] == [q.check for q in FEW[:2]]
    assert all(m.passed for m in proven.measurements)


def test_many_questions_are_answered_by_other_processes():
    with (
        Prover(worker="there.is.none:work", processes=2) as prover,
        pytest.raises(ChildDiedError, match="No module named 'there'"),
    ):
        prover.prove(FEW, ignore)


# Processes that die

WORKER = """
import os
from pathlib import Path
from trigru.bench.processes.child import Parent
from trigru.bench.proving.messages import Answered, Task
from trigru.common.equality.measurement import Measurement

EQUAL = Measurement(**{equal})
folder = Path({folder!r})

def work(parent: Parent[Task]) -> None:
    (folder / f"{{os.getpid()}}.pid").touch()
    for task in parent.tasks():
        for number, question in task.items():
            {before}
            answer = Answered(number, EQUAL, 0, 0, os.environ.get("XLA_FLAGS", ""))
            parent.send(answer)
"""
#: Longer than anything takes here, also on a machine that does much else.
PATIENCE_S = 60.0
DIE = "os.kill(os.getpid(), 9)"
EQUAL_FACTS = msgspec.to_builtins(EQUAL)


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Makes a worker that does something before each answer; all its answers pass."""

    def make(before):
        code = WORKER.format(equal=EQUAL_FACTS, folder=str(tmp_path), before=before)
        (tmp_path / "prover_workers.py").write_text(code, encoding="utf-8")
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", path)
        return "prover_workers:work"

    return make


def pids_in(folder):
    """The ids of the processes that were started."""
    return [path.stem for path in folder.glob("*.pid")]


def test_a_question_that_ends_its_process_twice_says_how(worker):
    code = f"if question.check == 'held': {DIE}"
    proven = Prover(processes=2, worker=worker(code)).prove(FEW, ignore)
    problems = {m.check: m.problem for m in proven.measurements if m != EQUAL}
    assert problems == {"held": "the process died: killed by signal 9"}
    assert [question.check for question in proven.died] == ["held"]


def test_a_question_that_ends_its_process_once_is_asked_again(worker, tmp_path):
    mark = str(tmp_path / "died")
    code = f"""if question.check == "held" and not os.path.exists({mark!r}):
                open({mark!r}, "w").close()
                {DIE}"""
    proven = Prover(processes=2, worker=worker(code)).prove(FEW, ignore)
    assert proven.measurements == [EQUAL] * len(FEW)
    assert proven.died == []


@pytest.mark.parametrize("code", ["pass", f"if question.check == 'held': {DIE}"])
def test_progress_is_called_once_for_each_question(worker, code):
    counts = []
    questions = []

    def progress(count, question):
        counts.append(count)
        questions.append(question)

    Prover(processes=2, worker=worker(code)).prove(FEW, progress)
    assert counts == list(range(1, len(FEW) + 1))
    assert sorted(map(str, questions)) == sorted(map(str, FEW))


def test_what_follows_in_a_task_is_answered_after_a_death(worker):
    subjects = [PURE, PortId("linen"), PortId("nnx")]
    questions = expand(subjects, ("float64",), get_checks("step"))[:3]
    assert len(tasks_of(questions)) == 1
    code = f"if question.subject.name == 'linen': {DIE}"
    proven = Prover(processes=2, worker=worker(code)).prove(questions, ignore)
    assert [m == EQUAL for m in proven.measurements] == [True, False, True]
    assert [q.subject.name for q in proven.died] == ["linen"]


def test_a_process_that_ends_well_without_an_answer_is_a_death(worker):
    code = "if question.check == 'held': return"
    proven = Prover(processes=2, worker=worker(code)).prove(FEW, ignore)
    problems = [m.problem for m in proven.measurements if m != EQUAL]
    assert problems == ["the process ended without an answer"]


def test_a_death_is_told_by_the_ports_own_name_and_kernel(worker):
    fused = PortId("pure", "fused")
    questions = expand([fused], ["float64"], get_checks("held"))
    proven = Prover(processes=2, worker=worker(DIE)).prove(questions, ignore)
    (measurement,) = proven.measurements
    assert measurement.port == "pure"
    assert measurement.kernel == "fused"


def test_cases_that_end_their_process_are_told_apart(worker):
    questions = expand([PURE], ["float64"], get_checks("contract"))[:2]
    proven = Prover(processes=2, worker=worker(DIE)).prove(questions, ignore)
    measurements = proven.measurements
    assert not any(measurement.passed for measurement in measurements)
    levels = [measurement.levels for measurement in measurements]
    assert levels == [question.case.levels() for question in questions]
    assert levels[0] != levels[1]


def test_each_process_has_the_devices_that_were_asked_for(worker, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with Prover(devices=3, worker=worker("pass")) as prover:
        proven = prover.prove(FEW[:1], ignore)
    assert proven.backend == "--xla_force_host_platform_device_count=3"


def test_an_interrupt_ends_the_processes(worker, tmp_path):
    def interrupt(done, question):
        raise KeyboardInterrupt

    prover = Prover(processes=2, worker=worker("pass"))
    with pytest.raises(KeyboardInterrupt):
        prover.prove(FEW, interrupt)
    assert pids_in(tmp_path)
    assert not any(is_alive(pid) for pid in pids_in(tmp_path))


def test_processes_that_were_started_early_end_with_the_prover(
    worker, tmp_path, monkeypatch
):
    monkeypatch.setattr("trigru.bench.proving.prover.cores", lambda: 2)
    with Prover(early=True, worker=worker("pass")):
        until_s = time.monotonic() + PATIENCE_S
        while len(pids_in(tmp_path)) < 2:
            assert time.monotonic() < until_s
            time.sleep(0.01)
        assert all(is_alive(pid) for pid in pids_in(tmp_path))
    assert not any(is_alive(pid) for pid in pids_in(tmp_path))

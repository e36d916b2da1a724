"""Questions that several processes ask: each once, whatever happens to a process or to the programs that are kept."""

import os
import sys
import time
from unittest.mock import Mock

import jax
import msgspec
import pytest
from support.runs import EQUAL
from trigru.bench.processes.child import Child, ChildDiedError
from trigru.bench.proving import prover, questions
from trigru.bench.proving.prover import Answered, PortId, Prover, QuestionId
from trigru.bench.proving.questions import expand, find, get_subject
from trigru.bench.results.proof import contradictions
from trigru.common.equality import verification
from trigru.common.equality.checks import CHECKS, DTYPES, get_checks
from trigru.common.equality.contract.factors import style_of, unusual, whole_row
from trigru.common.equality.verification import verify
from trigru.common.errors import InputError, UnknownNameError
from trigru.common.port.styles import available_styles
from trigru.impls import get_port
from trigru.impls.upstream import get_upstream

PURE = PortId("port", "pure")
CHECKED = get_checks("conversion", "held", "start", "golden", "closed")
FEW = expand([PURE], DTYPES, CHECKED)


def test_only_the_call_styles_that_were_asked_for_are_asked_about():
    def styles_in(styles):
        asked = expand([PURE], ("float64",), get_checks("styles"), styles)
        return {(style_of(q.row, get_port("pure")), q.row["phase"]) for q in asked}

    of_all, of_one = (
        styles_in(None),
        styles_in({"forward": ["leaves"], "train_step": None}),
    )
    assert ("leaves", "forward") in of_one < of_all
    assert {style for style, phase in of_one if phase == "forward"} == {"leaves"}
    trained = {style.name for style in available_styles(get_port("pure"), "train_step")}
    assert {style for style, phase in of_one if phase == "train_step"} == trained
    assert not [phase for _, phase in of_one if phase == "gradient"]


def test_questions_read_an_iterable_once_and_ask_of_a_port_once():
    dtypes, checks = ("float64", "float32"), get_checks("lengths", "held")
    asked = expand([PURE], dtypes, checks)
    assert expand(iter([PURE, PURE]), iter(dtypes), iter(checks)) == asked
    assert {q.row["dtype"] for q in asked if q.row} >= {*dtypes}
    port = get_port("pure")
    assert len(verification.questions(iter([port]), iter(dtypes), iter(checks))) == len(
        asked
    )
    with pytest.raises(UnknownNameError, match="unknown dtype 'float8'"):
        expand([PURE], ["float8"], checks)
    with pytest.raises(InputError, match="there is no check to ask"):
        expand([PURE], dtypes, ())


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("TRIGRU_NO_CACHE", "1")


def prove(questions, progress=lambda *_: None, **options):
    """Ask without keeping programs."""
    with Prover(**options) as prover:
        return prover.prove(questions, progress), prover.died


@pytest.fixture
def two_processes(monkeypatch):
    """Two processes for however few questions."""
    monkeypatch.setattr(prover, "FEW", 1)
    monkeypatch.setattr(prover, "MOST_PROCESSES", 2)
    monkeypatch.setattr(prover, "cores", lambda: 2)


@pytest.fixture
def child_runs(two_processes, tmp_path, monkeypatch):
    """Puts a line before each question in the place of the processes that ask."""

    def put(before):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "worker.py").write_text(f"""
import os, time
from trigru.bench.proving import questions
asked = questions.find
def find(question):
    {before}
    return asked(question)
questions.find = find
answer_request = questions.answer_request
""")
        monkeypatch.setenv(
            "PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        )
        monkeypatch.setattr(prover, "WORKER", "mine.worker:answer_request")

    return put


def test_a_question_is_found_again_by_its_names():
    subjects = [
        PURE,
        PortId("port", "linen", "fused"),
        PortId("upstream", "nnx"),
        PortId("fault", "no-b-hn"),
    ]
    for asked in expand(subjects, DTYPES, CHECKS):
        port, check, row = find(
            msgspec.json.decode(msgspec.json.encode(asked), type=type(asked))
        )
        assert port is get_subject(asked.subject)
        assert (check.name, row) == (asked.check, asked.row)
    assert get_subject(subjects[1]).kernel == "fused"
    assert get_subject(subjects[2]) is not get_port("nnx")


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("early", [False, True])
def test_two_processes_measure_what_one_does_in_the_order_of_the_questions(early):
    told = []
    found, died = prove(
        FEW, lambda done, question: told.append((done, question)), early=early
    )
    assert [done for done, _ in told] == list(range(1, len(FEW) + 1))
    assert all(question in FEW for _, question in told)
    here = verify([get_port("pure")], checks=CHECKED)
    assert [str(m) for m in found] == [str(m) for m in here]
    assert all(m.passed for m in found)
    assert not died


def test_few_questions_are_asked_by_this_process(monkeypatch):
    monkeypatch.setattr(prover, "WORKER", "there.is.none")
    told, questions = (
        [],
        [
            FEW[0],
            QuestionId(
                PURE, "styles", whole_row({"transform": "compiled", "phase": "forward"})
            ),
        ],
    )
    found, _ = prove(questions, lambda done, question: told.append(question))
    assert told == questions[::-1], "those about programs as users have them come first"
    assert [m.check for m in found] == [q.check for q in questions]
    assert all(m.passed for m in found)


def test_a_death_is_told_by_the_ports_own_name_and_kernel(child_runs):
    child_runs("os.kill(os.getpid(), 9)")
    asked = expand(
        [PortId("upstream", "nnx"), PortId("port", "pure", "fused")],
        ["float64"],
        get_checks("held"),
    )
    found = [(m.port, m.kernel) for m in prove(asked)[0]]
    assert found == [(get_upstream("nnx").PORT.name, "stock"), ("pure", "fused")]


def test_rows_that_kill_their_process_are_told_apart(child_runs):
    child_runs("os.kill(os.getpid(), 9)")
    rows = expand([PortId("port", "pure")], ["float64"], get_checks("contract"))[:2]
    found = prove(rows)[0]
    assert [m.passed for m in found] == [False, False]
    assert not list(contradictions(found)), (
        "snapshots and results with them can be read"
    )
    assert [m.levels for m in found] == [unusual(q.row) for q in rows]


@pytest.mark.usefixtures("two_processes")
def test_what_processes_leave_that_die_between_questions_is_asked_again(monkeypatch):
    begun = set()

    class Dying(Child):
        def __init__(self, *_): ...

        def __exit__(self, *_): ...

        def answers_to(self, request, *_):
            check = request.questions[0].check
            if (
                check == "start"
                if len(request.questions) == 1
                else request.start in begun
            ):
                return
            if len(request.questions) > 1 or check != "held":
                number = int(request.start * len(request.questions))
                yield from (number, Answered(number, EQUAL))
            if len(request.questions) > 1:
                begun.add(request.start)
                yield number + 1  # of which the process dies, by chance
            raise ChildDiedError("killed by chance")

    told = []
    monkeypatch.setattr(prover, "Child", Dying)
    found, died = prove(FEW, lambda done, question: told.append(done))
    assert told == list(range(1, len(FEW) + 1))
    problems = {m.check: m.problem for m in found if m != EQUAL}
    assert problems == {
        "held": "killed by chance",
        "start": "the process ended without an answer",
    }
    assert {q.check for q in died} == set(problems)


@pytest.mark.usefixtures("two_processes")
def test_a_process_that_dies_before_it_asks_ends_the_proof(monkeypatch):
    monkeypatch.setattr(prover, "WORKER", "there.is.none:to_answer")
    with pytest.raises(ChildDiedError, match="No module named 'there'"):
        prove(FEW)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupt_ends_the_processes(child_runs, tmp_path):
    child_runs(f"""open({str(tmp_path)!r} + f"/{{os.getpid()}}.pid", "w").close()
    if question.check == "closed": time.sleep(60)""")
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        prove(FEW, Mock(side_effect=KeyboardInterrupt))
    assert time.monotonic() - start < 40, caught
    pids = [path.stem for path in tmp_path.glob("*.pid")]
    assert pids
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


@pytest.mark.parametrize(
    "harm", [lambda file: file.write_bytes(b"damaged"), os.remove], ids=["bits", "gone"]
)
def test_damaged_programs_cost_time_alone(harm, tmp_path, monkeypatch):
    monkeypatch.setattr(prover, "programs_folder", lambda: tmp_path)
    monkeypatch.setattr(questions, "LEAST_KEPT_S", 0.0)
    asked = expand([PURE], DTYPES, get_checks("counted"))

    def proven():
        jax.clear_caches()
        prover = Prover()
        assert all(m.passed for m in prover.prove(asked, lambda *_: None))
        return prover.compiled, prover.reused

    proven()
    compiled, reused = proven()
    assert (compiled, reused > 0) == (0, True)
    for file in tmp_path.glob("*-cache"):
        harm(file)
    assert proven() == (reused, 0)
    proven()
    assert proven() == (0, reused), "what was damaged is replaced"


def test_programs_are_kept_in_a_private_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prover.programs_folder() is None, "as the variable says"
    monkeypatch.delenv("TRIGRU_NO_CACHE")
    folder = prover.programs_folder()
    assert folder.parent == tmp_path / "trigru" / "programs"
    folder.chmod(0o777)
    assert prover.programs_folder() is None, "who can write there can run code here"

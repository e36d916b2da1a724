"""A snapshot whose process dies, or lacks a framework."""

from trigru.bench.processes.child import ChildDiedError
from trigru.bench.proving.prover import Prover
from trigru.bench.upgrades import taking
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.work import Work
from trigru.bench.upgrades.worker import Request, answer_request


def test_what_a_process_had_not_told_when_it_died_is_a_problem(monkeypatch):
    def looked(request, stop):
        yield Subject("pure", "pure")
        raise ChildDiedError("it was killed")

    monkeypatch.setattr(taking, "_looked", looked)
    with Prover(keep=False) as prover:
        found, _ = taking.take(("pure",), equality=False, prover=prover)
    assert {s.name: s.problems.get("import") for s in found.subjects} == {
        "pure": None,
        "pure:fused": "it was killed",
        "jax, optax": "it was killed",
    }


def test_each_subject_of_a_framework_that_is_missing_says_so(monkeypatch):
    monkeypatch.setattr("trigru.impls.unavailable", lambda name: f"{name} is not installed")
    found = []
    answer_request(Request("nnx", ["nnx", "nnx:fused"], "", None), found.append)
    assert [(subject.name, subject.missing) for subject in found] == [
        ("nnx", "nnx is not installed"),
        ("nnx:fused", "nnx is not installed"),
    ]


def test_how_long_a_snapshot_takes_is_said_by_the_last_one(tmp_path):
    told = []
    for _ in range(2):
        work = Work(tmp_path, ["a", "b"], 0, lambda *said: told.append(said[:2]))
        work.add("a", 3.0, "a")
        work.add("b", 1.0, "b")
        work.keep()
    assert told == [(0.0, None), (0.5, None), (1.0, None), (0.0, 2.0), (0.75, 2.0), (1.0, 2.0)]

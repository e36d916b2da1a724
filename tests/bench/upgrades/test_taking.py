"""A snapshot whose process dies."""

from trigru.bench.processes.child import ChildDiedError
from trigru.bench.proving.prover import Prover
from trigru.bench.upgrades import taking
from trigru.bench.upgrades.record import Subject


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

"""What a snapshot asks of a port, and where each answer goes, with programs that are made up."""

import warnings
from collections import Counter
from threading import Event

import jax
import msgspec
import numpy as np
import pytest
from support.runs import PROGRAM
from trigru.bench.proving.messages import Subject as Named
from trigru.bench.proving.prover import Prover
from trigru.bench.upgrades import facts, taking, worker
from trigru.bench.upgrades.facts import (
    FACTS,
    KEYS,
    OPTIMIZERS,
    SPREAD,
    STEPS,
    WARM_CALLS,
    Built,
    Kept,
    Looked,
    paths_of,
)
from trigru.bench.upgrades.folder import decode, encode, name_of
from trigru.bench.upgrades.record import DEVICES, Problem, Program, Subject, Warned, Where
from trigru.bench.upgrades.worker import Request
from trigru.bench.upgrades.worker import name_of as named
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import NotOfferedError
from trigru.common.port.spread import WAYS
from trigru.common.port.styles import available_styles
from trigru.common.port.task import PHASES
from trigru.impls import get_port

PORT = get_port("pure")
FORWARD = Where("jit", "forward", "float32")


def looked_at(name, tmp_path):
    return Looked(PORT, Subject(name, "pure"), tmp_path)


def built(**members):
    """A program whose call takes note of itself."""
    default = {"call": lambda: 1, "dispatch": lambda: 2, "lower": None, "traced": lambda: 1}
    default |= {"params": lambda: None, "read": lambda gradient: gradient, "leaves": 7}
    return Built(**default | members)


@pytest.mark.parametrize("name", ["pure", "pure:fused", "a part"])
def test_every_style_is_asked_of_a_port_and_the_documented_one_of_its_kernels_and_parts(tmp_path, monkeypatch, name):
    looked, asked = looked_at(name, tmp_path), []
    monkeypatch.setattr(facts, "_run", lambda looked, fact, where, collect: asked.append((fact, where)))
    monkeypatch.setattr(facts, "_equations", lambda looked, phase: 1)
    monkeypatch.setattr(facts, "spread_of", lambda devices, way: None)
    for fact in ("values", "programs", "calls"):
        FACTS[fact](looked)
    SPREAD["programs"](looked)
    expected = []
    styles = {phase: [s.name for s in available_styles(PORT, phase)] for phase in PHASES}
    for phase in PHASES:
        is_step = phase == "train_step"
        first, *others = styles[phase] if name == "pure" else styles[phase][:1]
        for dtype in ("float32", "float64"):
            for optimizer in OPTIMIZERS if is_step else ("",):
                expected.append(("values", Where(first, phase, dtype, optimizer)))
        expected += [("values", Where(s, phase, "float32", "adam" if is_step else "")) for s in others]
        for fact in ("programs", "calls"):
            expected += [(fact, Where(s, phase, "float32", "adam" if is_step else "")) for s in (first, *others)]
    documented = styles["train_step"][0]
    expected += [("programs", Where(documented, "train_step", "float32", "adam", way)) for way in WAYS["train_step"]]
    assert Counter(asked) == Counter(expected)


def test_what_a_call_costs_is_counted_of_a_dispatch_once_it_is_warm(tmp_path, monkeypatch):
    looked, ran = looked_at("a part", tmp_path), []
    program = built(
        call=lambda: ran.append("call"), dispatch=lambda: ran.append("dispatch"), traced=lambda: 2 * len(ran)
    )
    monkeypatch.setattr(facts, "_run", lambda looked, fact, where, collect: collect(program))
    monkeypatch.setattr(facts, "count_python", lambda call: call() or Counter({"call": 10, "c_call": 20, "line": 30}))
    FACTS["calls"](looked)
    assert ran[: WARM_CALLS + 2] == ["call"] * (WARM_CALLS + 1) + ["dispatch"]
    first = looked.subject.calls[0]
    assert (first.leaves, first.functions, first.builtins, first.lines, first.traces) == (7, 10, 20, 30, 1 + WARM_CALLS)


def test_a_program_is_kept_with_the_equations_of_its_own_phase(tmp_path, monkeypatch):
    looked = looked_at("a part", tmp_path)
    monkeypatch.setattr(facts, "_run", lambda looked, fact, where, collect: collect(built(lower=lambda: where)))
    monkeypatch.setattr(facts, "_equations", lambda looked, phase: PHASES.index(phase))
    monkeypatch.setattr(facts, "read_program", lambda where: msgspec.structs.replace(PROGRAM, fingerprint=str(where)))
    monkeypatch.setattr(facts, "count_operations", lambda where: len(str(where)))
    FACTS["programs"](looked)
    assert len(looked.subject.programs) == len(PHASES)
    for program in looked.subject.programs:
        where = program.where
        assert (program.xla.fingerprint, program.stablehlo_operations) == (str(where), len(str(where)))
        assert program.jaxpr_equations == PHASES.index(where.phase)
    facts._keep_program(looked, FORWARD, 1, built())
    assert len(looked.subject.programs) == len(PHASES), "of what cannot be lowered there is none"


def test_a_problem_or_a_warning_is_of_the_call_that_had_it_and_float64_is_wide(tmp_path, monkeypatch):
    looked, wide = looked_at("pure", tmp_path), []

    def build(port, where):
        wide.append((where.dtype, jax.config.jax_enable_x64))
        warnings.warn(where.phase, UserWarning, stacklevel=1)
        raise NotOfferedError("x") if where.phase == "step" else TypeError("gone")

    monkeypatch.setattr(facts, "_build", build)
    for phase, dtype in (("forward", "float64"), ("train_step", "float32"), ("step", "float32")):
        facts._run(looked, "values", Where("jit", phase, dtype), lambda program: None)
    assert wide == [("float64", True), ("float32", False), ("float32", False)]
    assert [(p.fact, p.where) for p in looked.subject.problems] == [
        ("values", "forward jit float64"), ("values", "train_step jit float32"),
    ]  # fmt: skip
    assert {(w.text, w.when) for w in looked.subject.warnings} == {
        ("forward", "call"), ("step", "call"), ("train_step", "train"),
    }  # fmt: skip


def test_results_have_their_names_in_the_order_in_which_they_are_computed():
    one, two = np.zeros(1), np.ones(1)
    assert list(facts._answers(built(call=lambda: (one, two)), FORWARD).items()) == [("carry", one), ("outputs", two)]
    steps = iter(range(1, STEPS + 1))
    trained = facts._answers(
        built(call=lambda: next(steps), params=lambda: facts.random_params(facts.GRUConfig(1, 1))),
        msgspec.structs.replace(FORWARD, phase="train_step"),
    )
    assert list(trained) == [
        f"{what} step {n}" for n in range(1, STEPS + 1) for what in ("loss at", "parameters after")
    ]
    assert [trained[f"loss at step {n}"] for n in range(1, STEPS + 1)] == list(range(1, STEPS + 1))


def test_draws_are_of_each_model_and_key_and_the_tree_is_the_classifiers(tmp_path):
    looked = looked_at("pure", tmp_path)
    FACTS["draws"](looked)
    FACTS["tree"](looked)
    for model, config in facts._configs("float32").items():
        for key in KEYS:
            made = paths_of(PORT.make(config, jax.random.key(key)))
            kept = {d.path: d.array for d in looked.subject.draws if (d.model, d.key) == (model, key)}
            assert kept == {path: name_of(leaf) for path, leaf in made.items()}
    assert [(leaf.path, leaf.shape, leaf.dtype) for leaf in looked.subject.tree] == [
        (path, leaf.shape, str(leaf.dtype)) for path, leaf in made.items()
    ]


def test_equations_are_of_the_phase(tmp_path):
    looked = looked_at("pure", tmp_path)
    forward, step, gradient, train = (
        facts._equations(looked, p) for p in ("forward", "step", "gradient", "train_step")
    )
    assert step < forward < gradient
    assert gradient == train


# Taking ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch):
    """Requests of processes that find their number, without starting any."""
    requests = []

    def looked(request, stop):
        assert isinstance(stop, Event)
        requests.append(request)
        for number, name in enumerate(request.named):
            array = np.array([number + 10.0 * request.spread])
            with open(f"{request.arrays}.{number}", "wb") as file:
                file.write(encode({name_of(array): array}))
            subject = Subject(named(name), request.framework)
            where = Where(named(name), "forward", "float32", way="placed" if request.spread else "")
            subject.programs = [Program(where, PROGRAM, 1, None)]
            subject.problems = [Problem("programs", str(where), "", "", "")]
            yield subject

    monkeypatch.setattr(taking, "_looked", looked)
    return requests


def test_what_processes_find_goes_to_its_subject_and_every_step_is_told(tmp_path, monkeypatch, told):
    said = []
    with Prover(keep=True) as prover:
        found, arrays = taking.take(
            ["nnx", "absent", "pure"], tmp_path, equality=False, prover=prover, told=lambda *some: said.append(some)
        )
        programs = prover.programs
    assert [s.name for s in found.subjects] == ["nnx", "nnx:fused", "nnx's own", "absent", "pure", "pure:fused"]
    for subject in found.subjects:
        ways = ["", "placed"] if "own" not in subject.name else [""]
        assert [(p.where.style, p.where.way) for p in subject.programs] == [(subject.name, way) for way in ways]
        assert len(subject.problems) == len(ways)
    assert set(arrays) == {name_of(np.array([n])) for n in (0.0, 1.0, 2.0, 10.0, 11.0)}
    assert [(done, of) for done, of, _ in said] == [(n, 11) for n in range(1, 12)]
    assert {what for *_, what in said} >= {"nnx's own", "pure:fused on two devices"}
    assert {(r.framework, r.spread) for r in told} == {(n, s) for n in ("nnx", "absent", "pure") for s in (True, False)}
    assert {r.programs for r in told} == {str(programs)}
    assert {r.folder for r in told} == {str(tmp_path)}
    assert found.equality is None
    assert {"flax", "jax"} <= found.machine.versions.keys()


def test_equality_is_proven_of_what_is_there_and_departures_are_of_the_parts(tmp_path, monkeypatch, told):
    asked = []

    def prove(some, prover, told):
        asked.extend(some)
        return [[Measurement(a.subject.source, a.check, None, "", "float64", 0.0, 0.0)] for a in some]

    monkeypatch.setattr(taking, "_prove", prove)
    monkeypatch.setattr(taking, "_departures", lambda name, measured: [(name, *sorted({m.port for m in measured}), "")])
    with Prover(keep=False) as prover:
        found, _ = taking.take(["nnx", "absent", "pure"], tmp_path, prover=prover)
        assert {a.subject.name for a in asked} == {"nnx", "pure"}
        assert {(a.subject.source, a.subject.name) for a in asked if a.subject.source != "port"} == {
            ("upstream", "nnx")
        }
        assert {m.port for m in found.equality} == {"port"}
        assert len(found.equality) == sum(a.subject.source == "port" for a in asked)
        assert found.departures == [("nnx", "upstream", "")]
        asked.clear()
        known = [Measurement("nnx", "masks", None, "", "float64", 0.0, 0.0)]
        given, _ = taking.take(["nnx"], tmp_path, equality=known, prover=prover)
        assert (given.equality, given.departures, asked) == (known, [], [])
    assert {r.programs for r in told} == {None}


@pytest.mark.parametrize("spread", [True, False])
def test_two_devices_are_made_for_the_process_that_spreads_alone(monkeypatch, spread):
    class Child:
        def __init__(self, module, variables):
            flag = f"--xla_force_host_platform_device_count={DEVICES}"
            assert (module, flag in variables.get("XLA_FLAGS", "")) == (taking.WORKER, spread)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def lines_of(self, request, limit_s, stop):
            assert limit_s == taking.LIMIT_S
            framework = msgspec.json.decode(request, type=Request).framework
            yield msgspec.json.encode(Subject("pure:fused", framework))

    monkeypatch.setattr(taking, "Child", Child)
    request = Request("pure", [], "", "", None, spread)
    assert [(s.name, s.framework) for s in taking._looked(request, Event())] == [("pure:fused", "pure")]


# The process ----------------------------------------------------------------------------------------------------------

NAMED = [Named("port", "pure"), Named("port", "pure", "fused"), Named("upstream", "nnx")]


def test_a_subject_has_a_name_before_it_is_looked_at():
    assert [named(some) for some in NAMED] == ["pure", "pure:fused", "nnx's own"]


def test_each_subject_of_a_process_has_facts_arrays_and_the_warnings_of_the_import_of_its_own(tmp_path, monkeypatch):
    given = []

    def unavailable(name):
        warnings.warn("at import", UserWarning, stacklevel=1)

    def look(looked, some):
        given.append((looked.port.name, looked.folder, some))
        looked.kept.keep(np.array([len(given)]))
        looked.subject.warnings.append(Warned("call", "UserWarning", str(len(given)), ""))

    monkeypatch.setattr("trigru.impls.unavailable", unavailable)
    monkeypatch.setattr(facts, "look", look)
    for spread, some in ((False, None), (True, SPREAD)):
        given.clear()
        request = Request("nnx", NAMED, str(tmp_path), str(tmp_path / f"arrays-{spread}"), None, spread)
        found = list(worker.look_at(request))
        assert [s.name for s in found][:2] == ["pure", "pure:fused"]
        assert found[2].name == given[2][0] != "nnx's own"
        assert {s.framework for s in found} == {"nnx"}
        assert [[w.text for w in s.warnings] for s in found] == [["at import", str(n)] for n in (1, 2, 3)]
        assert all(entry[1:] == (tmp_path, some) for entry in given)
        for number in range(3):
            (array,) = decode((tmp_path / f"arrays-{spread}.{number}").read_bytes()).values()
            assert array.tolist() == [number + 1]


@pytest.mark.parametrize("error", [None, RuntimeError("it broke\nbadly")])
def test_of_what_is_not_there_each_subject_says_why(tmp_path, monkeypatch, error):
    def unavailable(name):
        if error:
            raise error
        return f"{name} is absent"

    monkeypatch.setattr("trigru.impls.unavailable", unavailable)
    found = list(worker.look_at(Request("linen", NAMED, str(tmp_path), str(tmp_path / "a"), None)))
    said = "it broke" if error else "linen is absent"
    assert [(s.name, s.framework, s.missing) for s in found] == [(named(some), "linen", said) for some in NAMED]


def test_arrays_are_kept_by_their_content():
    kept = Kept()
    names = kept.keep_all({"a": np.zeros(2), "b": np.ones(2), "c": jax.numpy.zeros(2, "float32"), "d": np.zeros(2)})
    assert names["a"] == names["d"]
    assert len(kept.arrays) == len(set(names.values())) == 3
    assert kept.arrays[names["b"]].tolist() == [1, 1]

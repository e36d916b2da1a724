"""What a change is told as: of which subject and fact, what it was and what it is, and what is compared with what."""

from itertools import permutations

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE, PROGRAM
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import KINDS, Change, by_kind, changes, reservations
from trigru.bench.upgrades.folder import name_of
from trigru.bench.upgrades.record import Calls, Checkpoint, Draw, Leaf, Problem, Program, Subject, Values, Warned, Where
from trigru.common.equality.measurement import Measurement

FORWARD, GRADIENT = (Where("jit", phase, "float64") for phase in ("forward", "gradient"))
PROBLEM = Problem("values", "forward jit", "TypeError", "flax/nnx/graph.py: split", "no more")


def between(old, new, *arrays):
    known = {name_of(array): array for array in arrays}
    return [msgspec.structs.astuple(change) for change in changes((old, known), (new, known))]


def told(old, new, *arrays):
    """The changes between the facts of one subject, without its name."""
    found = between(*(snapshot_of(Subject("nnx:fused", "nnx", **facts)) for facts in (old, new)), *arrays)
    assert {subject for _, subject, *_ in found} <= {"nnx:fused"}
    return [(kind, *words) for kind, _, *words in found]


def program(**changed):
    own = {name: changed.pop(name) for name in ("stablehlo_operations", "jaxpr_equations") if name in changed}
    found = Program(FORWARD, msgspec.structs.replace(PROGRAM, **changed), 10, 5)
    return {"programs": [msgspec.structs.replace(found, **own)]}


def calls(**changed):
    return {"calls": [msgspec.structs.replace(Calls(FORWARD, 5, 10, 20, 100, 1), **changed)]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (program(), program(dots=3), ("program", "forward jit float64", "dots 2", "dots 3")),
        (program(), program(fusions=6), ("program", "forward jit float64", "fusions 5", "fusions 6")),
        (program(), program(whiles=2), ("program", "forward jit float64", "loops 1", "loops 2")),
        (program(), program(transposes=4), ("program", "forward jit float64", "transposes 3", "transposes 4")),
        (program(), program(fingerprint="f" * 12), ("program", "forward jit float64", "0123456789ab", "f" * 12)),
        (program(), program(stablehlo_operations=11),
         ("program", "forward jit float64", "StableHLO operations 10", "StableHLO operations 11")),
        (program(), program(jaxpr_equations=6),
         ("program", "forward jit float64", "jaxpr equations 5", "jaxpr equations 6")),
        (program(), program(temp_bytes=1044), None),
        (program(), program(temp_bytes=1045), ("memory", "forward jit float64: temporary memory", "1024 B", "1045 B")),
        (program(), program(temp_bytes=1004), None),
        (program(), program(temp_bytes=1003), ("better", "forward jit float64: temporary memory", "1024 B", "1003 B")),
        (program(), {"programs": [msgspec.structs.replace(*program()["programs"], where=GRADIENT)]}, None),
        (calls(), calls(traces=2),
         ("calls", "forward jit float64", "1 traces in three calls", "2 traces in three calls")),
        (calls(), calls(leaves=6), ("calls", "forward jit float64", "5 leaves", "6 leaves")),
        (calls(), calls(functions=11), ("calls", "forward jit float64", "10 functions", "11 functions")),
        (calls(), calls(builtins=21), ("calls", "forward jit float64", "20 builtins", "21 builtins")),
        (calls(), calls(builtins=19), ("better", "forward jit float64", "20 builtins", "19 builtins")),
        (calls(), calls(lines=99, functions=11),
         ("calls", "forward jit float64", "10 functions, 100 lines", "11 functions, 99 lines")),
        (calls(), calls(where=GRADIENT, lines=500), None),
        ({"styles": {"jit": ""}}, {"styles": {}}, ("broken", "style jit", "works", "is gone")),
        ({"styles": {"jit": ""}}, {"styles": {"jit": "no"}}, ("broken", "style jit", "works", "no")),
        ({"styles": {"jit": "no"}}, {"styles": {"jit": ""}}, ("better", "style jit", "no", "works")),
        ({"styles": {"jit": "no"}}, {"styles": {"jit": "not yet"}}, None),
        ({"styles": {"jit": ""}}, {"styles": {"jit": "", "other": "no"}}, None),
        ({"styles": {"jit": ""}}, {"missing": "is absent"}, ("broken", "import", "works", "is absent")),
        ({"missing": "is absent"}, {}, ("better", "import", "is absent", "works")),
        ({"missing": "is absent"}, {"missing": "does not import"}, None),
        ({"problems": [PROBLEM]}, {"missing": "is absent"}, ("broken", "import", "works", "is absent")),
        ({}, {"problems": [PROBLEM]},
         ("broken", "values forward jit", "works", "TypeError in flax/nnx/graph.py: split: no more")),
        ({"problems": [PROBLEM]}, {}, ("better", "values forward jit", "TypeError: no more", "works")),
        ({"problems": [PROBLEM]}, {"problems": [msgspec.structs.replace(PROBLEM, message="other")]}, None),
        ({"tree": [Leaf(".w", (2,), "float32"), Leaf(".b", (), "float32")]}, {"tree": [Leaf(".b", (), "float32")]},
         ("tree", "leaves", ".w", "none")),
        ({"tree": [Leaf(".w", (2,), "float32")]},
         {"tree": [Leaf(".a", (), "float32"), Leaf(".w", (2,), "float32"), Leaf(".z", (), "float32")]},
         ("tree", "leaves", "none", ".a, .z")),
        ({"tree": [Leaf(".w", (2,), "float32")]}, {"tree": [Leaf(".w", (3,), "float32")]},
         ("tree", "leaf .w", "float32(2,)", "float32(3,)")),
        ({"tree": [Leaf(".w", (2,), "float32")]}, {"tree": [Leaf(".w", (2,), "int8")]},
         ("tree", "leaf .w", "float32(2,)", "int8(2,)")),
        ({"tree": [Leaf(".w", (), "int8"), Leaf(".b", (), "int8")]},
         {"tree": [Leaf(".b", (), "int8"), Leaf(".w", (), "int8")]},
         ("tree", "order of the leaves", ".w, .b", ".b, .w")),
        ({"tree": [Leaf(".w", (2,), "float32")]}, {}, None),
        ({}, {"tree": [Leaf(".w", (2,), "float32")]}, None),
        ({"checkpoints": [Checkpoint("a.npz", ["w (2,)", "b ()"], {})]},
         {"checkpoints": [Checkpoint("b.npz", [], {}), Checkpoint("a.npz", ["v (2,)", "b ()"], {})]},
         ("checkpoints", "a.npz", "w (2,)", "v (2,)")),
        ({"checkpoints": [Checkpoint("a.npz", ["w (2,)"], {})]}, {"checkpoints": [Checkpoint("b.npz", [], {})]}, None),
        ({}, {"warnings": [Warned("train", "UserWarning", "soon", "flax/a.py")]},
         ("warnings", "at train, flax/a.py", "", "UserWarning: soon")),
    ],
)  # fmt: skip
def test_a_change_says_which_fact_it_is_of_and_what_it_was_and_is(old, new, said):
    assert told(old, new) == ([said] if said else [])
    assert told(old, old) == told(new, new) == []


def test_another_program_that_needs_more_memory_is_two_changes():
    assert [kind for kind, *_ in told(program(), program(temp_bytes=2048, dots=3))] == ["memory", "program"]


@pytest.mark.parametrize("field", ["when", "category", "text", "place"])
def test_a_warning_that_differs_in_anything_is_new(field):
    known = Warned("call", "UserWarning", "soon", "flax/a.py")
    other = msgspec.structs.replace(known, **{field: "make"})
    assert [kind for kind, *_ in told({"warnings": [known]}, {"warnings": [known, other]})] == ["warnings"]


@pytest.mark.parametrize("field", ["style", "phase", "dtype", "optimizer", "way"])
def test_facts_of_two_calls_are_each_compared_with_their_own(field):
    """Whatever tells the calls apart, and in whichever order they stand."""
    one, two = np.zeros(2), np.ones(2)
    other = msgspec.structs.replace(FORWARD, **{field: "other"})
    base, longer = program()["programs"][0], calls()["calls"][0]

    def facts(where, array, number):
        return {
            "values": Values(where, {"carry": name_of(array)}),
            "programs": msgspec.structs.replace(base, where=where, stablehlo_operations=number),
            "calls": msgspec.structs.replace(longer, where=where, lines=number),
        }

    some = facts(FORWARD, one, 1), facts(other, two, 2)
    more = facts(FORWARD, two, 11), facts(other, one, 12)
    there, back, moved = (
        {name: [part[name] for part in order] for name in some[0]} for order in (some, some[::-1], more[::-1])
    )
    assert told(there, back, one, two) == []
    found = [(what.partition(":")[0], new) for _, what, _, new in told(there, moved, one, two)]
    for number, where in ((11, FORWARD), (12, other)):
        assert (str(where), f"StableHLO operations {number}") in found
        assert (str(where), f"{number} lines") in found
    assert len(found) == 6


def test_each_subject_is_compared_with_the_one_of_its_name():
    subjects = [Subject(name, "nnx", **calls(lines=n)) for n, name in enumerate(("nnx", "nnx:fused", "nnx's own"))]
    dearer = [Subject(s.name, "nnx", **calls(lines=s.calls[0].lines + 10)) for s in subjects]
    for order in permutations(dearer):
        found = between(snapshot_of(*subjects), snapshot_of(*order))
        assert [(subject, old, new) for _, subject, _, old, new in found] == [
            (s.name, f"{n} lines", f"{n + 10} lines") for n, s in enumerate(subjects)
        ]


A, B, NEAR = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 2.0, 3.0, 4 + 1e-15])
F = A.astype("float32")


def scaled(array, share):
    return (array * (1 + share)).astype(array.dtype)


@pytest.mark.parametrize(
    ("old", "new", "kind", "first", "worst"),
    [
        ([A, A], [A, B], "function", "outputs, by 1125899906842624 ulp", "outputs, by 2.5e-01"),
        ([A, A], [NEAR, B], "function", "carry, by 1 ulp", "outputs, by 2.5e-01"),
        ([A, A], [B, NEAR], "function", "carry, by 1125899906842624 ulp", "carry, by 2.5e-01"),
        ([A, A], [NEAR, scaled(A, 1e-13)], "bits", "carry, by 1 ulp", "outputs, by 1.0e-13"),
        ([F, A], [scaled(F, 1e-5), scaled(A, 1e-8)], "function", "carry, by 126 ulp", "outputs, by 1.0e-08"),
        ([A, F], [NEAR, scaled(F, 1e-2)], "function", "carry, by 1 ulp", "outputs, by 1.0e-02"),
        ([F, A], [scaled(F, 1e-5), NEAR], "bits", "carry, by 126 ulp", "carry, by 1.0e-05"),
    ],
)
def test_the_worst_array_is_that_of_which_its_dtype_explains_least(old, new, kind, first, worst):
    was, now = (
        {"values": [Values(FORWARD, dict(zip(("carry", "outputs"), map(name_of, some), strict=True)))]}
        for some in (old, new)
    )
    said = kind, "forward jit float64", "the same bits", f"first {first}; worst {worst} of it"
    assert told(was, now, *old, *new) == [said]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (A, A[:3], ("function", "forward jit float64: carry", "float64(4,)", "float64(3,)")),
        (A, A.astype("f4"), ("function", "forward jit float64: carry", "float64(4,)", "float32(4,)")),
        (A.astype(int), B.astype(int),
         ("function", "forward jit float64: carry", "1, 2, 3, ...", "1, 2, 3, ...")),
        (A[:3].astype(int), B[1:].astype(int), ("function", "forward jit float64: carry", "1, 2, 3", "2, 3, 5")),
    ],
)  # fmt: skip
def test_another_shape_dtype_or_whole_number_is_shown(old, new, said):
    was, now = ({"values": [Values(FORWARD, {"carry": name_of(a)})]} for a in (old, new))
    assert told(was, now, old, new) == [said]


def test_other_names_of_results_are_told_and_those_in_common_are_still_compared():
    was, now = (
        {"values": [Values(FORWARD, {"a": name_of(A), name: name_of(A), "c": name_of(last)})]}
        for name, last in (("b", A), ("z", B))
    )
    names, bits = told(was, now, A, B)
    assert names == ("function", "forward jit float64: results", "a, b, c", "a, z, c")
    assert bits[3].startswith("first c, by ")


def drawn(*arrays):
    """The draws of two models from two keys."""
    places = [("gru", 0, ".w"), ("gru", 1, ".w"), ("gru", 1, ".b"), ("classifier", 1, ".w")]
    return {"draws": [Draw(*place, name_of(a)) for place, a in zip(places, arrays, strict=True)]}


@pytest.mark.parametrize("place", range(4))
def test_a_draw_is_told_by_its_model_key_and_path(place):
    after = [A] * 4
    after[place] = B[:2] + 7
    said = [
        "gru: 1 of 3 draws, the first .w of key 0", "gru: 1 of 3 draws, the first .w of key 1",
        "gru: 1 of 3 draws, the first .b of key 1", "classifier: 1 of 1 draws, the first .w of key 1",
    ]  # fmt: skip
    found = told(drawn(A, A, A, A), drawn(*after), A, *after)
    assert found == [("draws", said[place], "1, 2, 3, ...", "8, 9")]


def test_draws_of_each_model_are_a_change_of_their_own():
    found = told(drawn(A, A, A, A), drawn(B, A, B, NEAR), A, B, NEAR)
    assert [(kind, what) for kind, what, *_ in found] == [
        ("draws", "gru: 2 of 3 draws, the first .w of key 0"),
        ("bits", "classifier: 1 of 1 draws, the first .w of key 1"),
    ]


@pytest.mark.parametrize("other", [A.astype("f4"), A[None], A.astype(int), B])
def test_a_draw_of_another_dtype_shape_or_size_is_no_rounding(other):
    for was, now in ((A, other), (other, A)):
        assert [kind for kind, *_ in told(drawn(was, A, A, A), drawn(now, A, A, A), was, now, A)] == ["draws"]


def test_whole_numbers_that_are_drawn_are_not_rounded():
    many, more = np.array([10**12]), np.array([10**12 + 1])
    assert [k for k, *_ in told(drawn(many, A, A, A), drawn(more, A, A, A), many, more, A)] == ["draws"]


# Equality -------------------------------------------------------------------------------------------------------------

PASSED = Measurement("linen", "forward", "jit", "carry", "float64", 1e-16, 1e-12)


def measured(error, **fields):
    return Measurement(**{**vars(PASSED), "error": error, **fields})


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", "nnx"), ("check", "masks"), ("style", "apply"), ("style", None), ("quantity", "outputs"),
     ("dtype", "float32"), ("kernel", "fused")],
)  # fmt: skip
def test_a_check_is_another_if_it_differs_in_anything(field, value):
    """What failed before in another way does not hide what fails now."""
    failing, passing = measured(1.0, **{field: value}), measured(1e-16, **{field: value})
    old, new = snapshot_of(equality=[PASSED, failing]), snapshot_of(equality=[measured(1.0), failing])
    what = ("linen", "check forward jit carry float64")
    assert between(old, new) == [("broken", *what, "equal", str(measured(1.0)))]
    assert between(new, old) == [("better", *what, str(measured(1.0)), "equal")]
    assert between(snapshot_of(equality=[PASSED]), snapshot_of(equality=[PASSED, passing])) == []
    both = between(snapshot_of(equality=[passing, PASSED]), snapshot_of(equality=[failing, measured(1.0)]))
    other = {"port": "nnx", "kernel": "linen:fused"}.get(field, "linen")
    assert [subject for _, subject, *_ in both] == ["linen", other]


def test_departures_are_told_whether_they_come_go_or_change():
    old, new = (
        snapshot_of(equality=[], departures=[("nn.RNN", what, status) for what, status in some])
        for some in (
            [("a", "on record"), ("b", "GONE"), ("c", "as before")],
            [("b", "seen"), ("c", "as before"), ("d", "NEW")],
        )
    )
    assert between(old, new) == [
        ("function", "nn.RNN", "departure: a", "on record", "not on record"),
        ("function", "nn.RNN", "departure: b", "GONE", "seen"),
        ("function", "nn.RNN", "departure: d", "not on record", "NEW"),
    ]
    without = snapshot_of()
    assert between(old, without) == between(without, new) == []


# What else is said ----------------------------------------------------------------------------------------------------


def test_kinds_are_in_order_whatever_the_order_of_what_was_found():
    found = [Change(kind, "linen", str(n), "", "") for n in range(2) for kind in reversed(KINDS)]
    grouped = by_kind(found)
    assert list(grouped) == list(KINDS)
    assert all([c.what for c in some] == ["0", "1"] and {c.kind for c in some} == {k} for k, some in grouped.items())


@pytest.mark.parametrize(("python", "compared"), [("3.13.9", True), ("3.12.5", False), ("4.13.5", False)])
def test_counts_of_python_are_compared_within_a_minor_version(python, compared):
    other = msgspec.structs.replace(MACHINE, versions={**MACHINE.versions, "python": python})
    old, new = (
        snapshot_of(Subject("nnx", "nnx", **calls())),
        snapshot_of(Subject("nnx", "nnx", **calls(lines=1)), machine=other),
    )
    assert bool(between(old, new)) is compared
    said = f"Python {python}, was 3.13.5: calls are not compared, since each Python counts in its own way."
    assert reservations(old, new) == ([] if compared else [said])


def test_equality_that_one_snapshot_alone_has_is_told():
    with_it, without = snapshot_of(equality=[]), snapshot_of()
    said = ["equality was left out in one of them, and is not compared."]
    assert reservations(with_it, without) == reservations(without, with_it) == said
    assert reservations(with_it, with_it) == reservations(without, without) == []

"""What a difference between two snapshots is told as: its kind, the fact, what it was and is; and what is no change."""

import dataclasses

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from support.runs import EQUAL, MACHINE
from support.snapshots import snapshot_of
from trigru.bench.upgrades import record
from trigru.bench.upgrades.changes import Pair, changes, reservations
from trigru.bench.upgrades.record import (
    EQUATIONS,
    IN_FLOAT64,
    KEPT,
    MEMORY,
    PRINT,
    TRACES,
    WAITS,
    Subject,
    name_of,
)

CALL, OTHER = "forward jit float64", "gradient jit float64"
TREE = {".w": "float32(2,)", ".b": "int8()"}
WARNED = {"warnings": {"at call, flax/a.py": ["UserWarning: soon"]}}
PROBLEM = {
    "problems": {"values forward jit": "TypeError in flax/nnx/graph.py: split: no more"}
}
A, B, NEAR = (
    np.array([1.0, 2.0, 3.0, 4.0]),
    np.array([1.0, 2.0, 3.0, 5.0]),
    np.array([1.0, 2.0, 3.0, 4 + 1e-15]),
)
F = A.astype("float32")
PASSED = dataclasses.replace(EQUAL, check="forward", style="jit")
FAILED = dataclasses.replace(PASSED, error=1.0)


def between(old, new, *arrays):
    known = {name_of(array): array for array in arrays}
    return [
        msgspec.structs.astuple(change)[:5]
        for change in changes((old, known), (new, known))
    ]


def told(old, new, *arrays):
    """The changes between the facts of one subject, as they are read from files, without its name."""
    written = [
        msgspec.json.encode(snapshot_of(Subject("nnx:fused", "nnx", **facts)))
        for facts in (old, new)
    ]
    found = between(
        *(msgspec.json.decode(content, type=record.Snapshot) for content in written),
        *arrays,
    )
    assert {subject for _, subject, *_ in found} <= {"nnx:fused"}
    return [(kind, *words) for kind, _, *words in found]


def program(call=CALL, **changed):
    return {
        "programs": {
            call: {
                "dots": 2,
                "exchange": "nothing",
                MEMORY: 1024,
                PRINT: "0123456789ab",
            }
            | changed
        }
    }


def calls(call=CALL, **changed):
    return {"calls": {call: {"leaves": 5, "functions": 10, "lines": 100} | changed}}


def signed(**defaults):
    return {"signatures": {"f": defaults}}


def values(**arrays):
    return {"values": {CALL: {name: name_of(array) for name, array in arrays.items()}}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            program(),
            program(exchange="x", dots=3),
            ("program", CALL, "dots 2, exchange nothing", "dots 3, exchange x"),
        ),
        (
            program(),
            program(**{PRINT: "f" * 12}),
            ("program", CALL, "", "the same counts of operations"),
        ),
        (program(), program(**{MEMORY: 1044}), None),
        (
            program(),
            program(**{MEMORY: 1045}),
            ("memory", f"{CALL}: temporary memory", "1024 B", "1045 B"),
        ),
        (program(), program(**{MEMORY: 1004}), None),
        (
            program(),
            program(**{MEMORY: 1003}),
            ("better", f"{CALL}: temporary memory", "1024 B", "1003 B"),
        ),
        (
            program(**{MEMORY: 0}),
            program(),
            ("memory", f"{CALL}: temporary memory", "0 B", "1024 B"),
        ),
        (program(**{MEMORY: None}), program(), None),
        (program(), program(OTHER), None),
        (calls(), calls(leaves=6), ("calls", CALL, "5 leaves", "6 leaves")),
        (calls(), calls(functions=9), ("better", CALL, "10 functions", "9 functions")),
        (
            calls(),
            calls(lines=99, functions=11),
            ("calls", CALL, "10 functions", "11 functions"),
        ),
        (calls(), calls(lines=105), None),
        (
            calls(**{WAITS: 0}),
            calls(**{WAITS: 1}),
            ("calls", CALL, f"0 {WAITS}", f"1 {WAITS}"),
        ),
        (
            calls(**{TRACES: 1}),
            calls(**{TRACES: 7}, lines=900),
            ("calls", CALL, f"1 {TRACES}", f"7 {TRACES}"),
        ),
        (
            program(**{KEPT: 100}),
            program(**{KEPT: 103}),
            ("kept", f"{CALL}: {KEPT}", "100 B", "103 B"),
        ),
        (signed(x="", n="1"), signed(x="", n="2"), ("arguments", "f", "n=1", "n=2")),
        (signed(x="", n="1"), signed(x=""), ("arguments", "f", "n=1", "gone")),
        (
            signed(x="", size="50"),
            signed(x="", size="50", n="1"),
            ("better", "f", "", "also takes n=1"),
        ),
        (signed(x=""), signed(x="", n=""), ("arguments", "f", "none", "n")),
        (
            signed(x=""),
            signed(x="", **{"**more": ""}),
            ("better", "f", "", "also takes **more"),
        ),
        (
            signed(x="", n="1"),
            signed(n="1", x=""),
            ("arguments", "f: order", "x, n", "n, x"),
        ),
        (
            signed(),
            {"signatures": {"g": {}}},
            [("arguments", "names", "f", "gone"), ("better", "names", "", "g")],
        ),
        (
            program(**{EQUATIONS: 100}),
            program(**{EQUATIONS: 126}),
            [
                ("work", f"{CALL}: {EQUATIONS}", "100", "126"),
                ("program", CALL, f"{EQUATIONS} 100", f"{EQUATIONS} 126"),
            ],
        ),
        (
            program(**{EQUATIONS: 4}),
            program(**{EQUATIONS: 5}),
            ("program", CALL, f"{EQUATIONS} 4", f"{EQUATIONS} 5"),
        ),
        (
            calls(**{TRACES: 1}) | {"tree": TREE},
            calls(**{TRACES: 7}),
            ("calls", CALL, f"1 {TRACES}", f"7 {TRACES}"),
        ),
        (
            {"problems": {"f": "no", "g": "no"}},
            {},
            [("better", what, "no", "works") for what in "fg"],
        ),
        (
            {"tree": {"f w": "int8()"}},
            {"problems": {"f": "TypeError"}, "tree": {"g w": "int8()"}},
            [("tree", "leaves", "none", "g w"), ("broken", "f", "works", "TypeError")],
        ),
        (calls(), calls(OTHER, lines=500), None),
        (
            calls() | {"styles": {"jit": ""}},
            calls(lines=110) | {"styles": {"jit": "no"}},
            [
                ("broken", "style jit", "works", "no"),
                ("calls", CALL, "100 lines", "110 lines"),
            ],
        ),
        (
            {"styles": {"jit": ""}},
            {"styles": {}},
            ("broken", "style jit", "works", "is gone"),
        ),
        (
            {"styles": {"jit": "no"}},
            {"styles": {"jit": ""}},
            ("better", "style jit", "no", "works"),
        ),
        ({"styles": {"jit": "no"}}, {"styles": {"jit": "not yet"}}, None),
        ({"styles": {"jit": ""}}, {"styles": {"jit": "", "other": "no"}}, None),
        (
            {"styles": {"jit": ""}},
            {"missing": "is absent"},
            ("broken", "import", "works", "is absent"),
        ),
        ({"missing": "is absent"}, {}, ("better", "import", "is absent", "works")),
        ({"missing": "is absent"}, {"missing": "does not import"}, None),
        (PROBLEM, {"missing": "is absent"}, ("broken", "import", "works", "is absent")),
        (PROBLEM, {"problems": {"values forward jit": "another"}}, None),
        ({"tree": TREE}, {"tree": {".b": "int8()"}}, ("tree", "leaves", ".w", "none")),
        (
            {"tree": TREE},
            {"tree": {".a": "int8()"} | TREE | {".z": "int8()"}},
            ("tree", "leaves", "none", ".a, .z"),
        ),
        (
            {"tree": TREE},
            {"tree": TREE | {".w": "float32(3,)"}},
            ("tree", "leaf .w", "float32(2,)", "float32(3,)"),
        ),
        (
            {"tree": TREE},
            {"tree": dict(reversed(TREE.items()))},
            ("tree", "order of the leaves", ".w, .b", ".b, .w"),
        ),
        ({"tree": TREE}, {}, None),
        ({}, {"tree": TREE}, None),
        ({}, WARNED, ("warnings", "at call, flax/a.py", "", "UserWarning: soon")),
        (
            WARNED,
            {
                "warnings": {
                    "at call, flax/a.py": ["UserWarning: soon", "UserWarning: now"]
                }
            },
            ("warnings", "at call, flax/a.py", "", "UserWarning: now"),
        ),
        (
            {"warnings": {"at call, trigru/a.py": ["UserWarning: soon"]}},
            {"warnings": {"at call, trigru/b.py": ["UserWarning: soon"]}},
            None,
        ),
        (WARNED, {}, None),
    ],
)
def test_a_change_says_which_fact_it_is_of_and_what_it_was_and_is(old, new, said):
    assert told(old, new) == (
        [] if said is None else said if isinstance(said, list) else [said]
    )
    assert told(old, old) == told(new, new) == []


def test_each_subject_is_compared_with_the_one_of_its_name():
    old, new = (
        [
            Subject(name, "nnx", **calls(lines=n + more))
            for n, name in enumerate(("nnx", "nnx:fused", "nnx's own"), 1)
        ]
        for more in (0, 10)
    )
    other = [Subject("jax, optax", "pure", **calls(lines=n)) for n in (1, 9)]
    found = between(snapshot_of(*old, other[0]), snapshot_of(other[1], *new))
    assert found.pop(0)[1] == "jax, optax", (
        "parts come before the ports that are made of them"
    )
    assert [words[1::2] for words in found] == [
        (s.name, f"{n} lines") for n, s in enumerate(old, 1)
    ]
    assert between(snapshot_of(Subject("mine", "mine")), snapshot_of(*new)) == []


def scaled(array, share):
    return (array * (1 + share)).astype(array.dtype)


@pytest.mark.parametrize(
    ("old", "new", "kind", "what", "how"),
    [
        (
            [A, A],
            [A, B],
            "function",
            "outputs",
            "by 0.25 of the largest number, 5 instead of 4",
        ),
        (
            [A, A],
            [NEAR, scaled(A, 2e-13)],
            "bits",
            "outputs",
            "by 2.0e-13 of the largest number",
        ),
        ([A, A], [NEAR, A], "bits", "carry", "by 1 unit in the last place"),
        ([A, A], [NEAR, scaled(A, 0.01)], "function", "outputs", "1.01 times as large"),
        (
            [F, A],
            [scaled(F, 1e-5), scaled(A, 1e-8)],
            "function",
            "outputs",
            "by 1e-08 of the largest number",
        ),
        ([A, F], [NEAR, scaled(F, 1e-2)], "function", "outputs", "1.01 times as large"),
        (
            [F, A],
            [scaled(F, 1e-5), NEAR],
            "bits",
            "carry",
            "by 1.0e-05 of the largest number",
        ),
        (
            [A, A],
            [A[::-1], A],
            "function",
            "carry",
            "the same numbers in another order",
        ),
        ([A, A], [A[:3], A], "function", "carry", "float64(3,) instead of float64(4,)"),
        ([A, A], [F, A], "function", "carry", "float32(4,) instead of float64(4,)"),
        (
            [A.astype(int), A],
            [B.astype(int), A],
            "function",
            "carry",
            "..., 5 instead of ..., 4",
        ),
        (
            [A, A],
            [A * 0, A],
            "function",
            "carry",
            "0, 0, 0, ... instead of 1, 2, 3, ...",
        ),
    ],
)
def test_the_worst_array_is_that_of_which_its_dtype_explains_least(
    old, new, kind, what, how
):
    was, now = (values(carry=carry, outputs=outputs) for carry, outputs in (old, new))
    assert told(was, now, *old, *new) == [(kind, f"{CALL}: {what}", "", how)]


def test_other_names_of_results_are_another_function():
    found = told(values(a=A, b=A, c=A), values(a=A, z=A, c=B), A, B)
    assert found == [("function", f"{CALL}: results", "b", "z")]
    leaves = [{"tree": {f"{CALL} {name}": "float64(4,)"}} for name in "bz"]
    found = told(values(a=A, b=A) | leaves[0], values(a=A, z=A) | leaves[1], A)
    assert [kind for kind, *_ in found] == ["tree"], (
        "a result that is a leaf of the tree is told once"
    )


def drawn(*arrays):
    first, second, third, other = map(name_of, arrays)
    gru = {".w of key 0": first, ".w of key 1": second, ".b of key 1": third}
    return {"draws": {"gru": gru, "classifier": {".w of key 1": other}}}


def test_draws_of_each_model_are_a_change_of_their_own():
    """One that is another is not hidden by one that is rounded in another way."""
    found = told(drawn(A, A, A, A), drawn(NEAR, A, B, NEAR), A, B, NEAR)
    assert [(kind, what) for kind, what, *_ in found] == [
        ("draws", "gru: 1 of 3 draws, the first .b of key 1"),
        ("bits", "gru: 1 of 3 draws, the first .w of key 0"),
        ("bits", "classifier: 1 of 1 draws, the first .w of key 1"),
    ]
    for other in (A.astype("f4"), A[None], A.astype(int), (10**12 * A).astype(int)):
        for was, now in ((A, other), (other, A), (other, other + 1)):
            assert [
                kind
                for kind, *_ in told(
                    drawn(was, A, A, A), drawn(now, A, A, A), was, now, A
                )
            ] == ["draws"]


def test_what_rounded_constants_new_rows_or_other_parameters_explain_is_no_other_function():
    wide = f"part{IN_FLOAT64}"
    for other, kind in ((A * (1 + 5e-8), "bits"), (A * (1 + 7e-8), "function")):
        old, new = (
            {"values": {wide: {"result": name_of(array)}}} for array in (A, other)
        )
        assert [kind for kind, *_ in told(old, new, A, other)] == [kind]
    old, new = (
        {
            "values": {wide: {"result": name_of(a)}},
            "tree": {"part result": "float64(4,)"},
        }
        for a in (A, A + 1e-9)
    )
    assert [kind for kind, *_ in told(old, new, A, A + 1e-9)] == ["function"], (
        "of a program in float64"
    )
    new_row = {
        "tree": {"row .w": "int8()", "old .w": "int8()"},
        "draws": {"row": {}, "old": {}},
    }
    assert told({"tree": {"old .w": "int8()"}, "draws": {"old": {}}}, new_row) == []
    grown = [program("part", **{KEPT: kept, EQUATIONS: kept}) for kept in (10, 90)]
    gradient = {"values": {wide: {"gradient of w": name_of(A)}}}
    assert {kind for kind, *_ in told(*grown)} == {"kept", "work", "program"}
    assert [
        kind
        for kind, *_ in told(
            grown[0], grown[1] | gradient | {"tree": {f"{wide} w": "f"}}, A
        )
    ] == ["program"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "nnx"),
        ("check", "masks"),
        ("style", None),
        ("quantity", "outputs"),
        ("dtype", "float32"),
        ("kernel", "fused"),
    ],
)
def test_a_check_is_another_if_it_differs_in_anything(field, value):
    """What failed before in another way does not hide what fails now."""
    failing, passing = (
        dataclasses.replace(of, **{field: value}) for of in (FAILED, PASSED)
    )
    old, new = (
        snapshot_of(equality=[PASSED, failing]),
        snapshot_of(equality=[FAILED, failing]),
    )
    what = ("linen", "check forward jit carry float64")
    assert between(old, new) == [("broken", *what, "equal", str(FAILED))]
    assert between(new, old) == [("better", *what, str(FAILED), "equal")]
    assert (
        between(snapshot_of(equality=[PASSED]), snapshot_of(equality=[PASSED, passing]))
        == []
    )
    exchanged = between(
        *(
            snapshot_of(equality=[a, b])
            for a, b in ((PASSED, failing), (FAILED, passing))
        )
    )
    assert {kind for kind, *_ in exchanged} == {"broken", "better"}
    both = between(
        snapshot_of(equality=[passing, PASSED]), snapshot_of(equality=[failing, FAILED])
    )
    apart = {"port": ["nnx"], "kernel": ["linen:fused"]}.get(field, [])
    assert [subject for _, subject, *_ in both] == ["linen", *apart]
    assert apart or "and 1 more check" in both[0][2]


def test_a_row_that_fails_is_compared_with_the_rows_that_passed_and_what_is_not_offered_is_no_failure():
    row = dataclasses.replace(PASSED, check="contract", levels={"time": "1"})
    failed = dataclasses.replace(FAILED, check="lengths", levels={"lengths": "passed"})
    (found,) = between(snapshot_of(equality=[row]), snapshot_of(equality=[failed]))
    assert found[0] == "broken"
    left_out = snapshot_of(
        equality=[
            dataclasses.replace(PASSED, error=None, problem="not offered: by nn.RNN")
        ]
    )
    for other in (snapshot_of(equality=[PASSED]), snapshot_of(equality=[FAILED])):
        assert between(other, left_out) == between(left_out, other) == []


def test_what_a_pair_keeps_of_its_trails_is_no_part_of_it():
    first, second = (
        Pair(Subject("nnx", "nnx"), Subject("nnx", "nnx"), {}, True) for _ in range(2)
    )
    first.partings["forward"] = ()
    assert first == second
    assert "partings" not in repr(first)
    with pytest.raises(ValueError, match="partings"):
        dataclasses.replace(first, partings={})


@pytest.mark.parametrize(
    ("python", "compared"), [("3.13.9", True), ("3.12.5", False), ("4.13.5", False)]
)
def test_counts_of_python_are_compared_within_a_minor_version(python, compared):
    other = replace(MACHINE, versions=MACHINE.versions | {"python": python})
    old = snapshot_of(Subject("nnx", "nnx", **calls()))
    new = snapshot_of(Subject("nnx", "nnx", **calls(lines=1)), machine=other)
    assert bool(between(old, new)) is compared
    said = f"Python {python}, was 3.13.5: calls are not compared, since each Python counts in its own way."
    assert reservations(old, new) == ([] if compared else [said])


def test_what_may_explain_a_change_or_is_not_compared_is_said():
    linen, may = (
        Subject("linen", "linen"),
        ": bits, programs and memory may differ for ",
    )
    plain = snapshot_of(linen)
    for more, said in (
        (
            snapshot_of(linen, machine=replace(MACHINE, device="B CPU")),
            f"device A CPU -> B CPU{may}",
        ),
        (
            snapshot_of(linen, machine=replace(MACHINE, environment={})),
            f"OMP_NUM_THREADS 8 -> none{may}",
        ),
        (
            snapshot_of(linen, Subject("mine", "mine")),
            "in one of them alone, and not compared: mine.",
        ),
        (
            snapshot_of(linen, equality=[]),
            "equality was left out in one of them, and is not compared.",
        ),
    ):
        (found,) = reservations(plain, more)
        assert found.startswith(said)
        assert len(reservations(more, plain)) == 1
        assert reservations(more, more) == []

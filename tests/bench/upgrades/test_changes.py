"""What a difference between two snapshots is told as: its kind, the fact, what it was
and is; and what is no change.
"""

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from support.runs import MACHINE
from support.snapshots import cost, machine_with, snapshot_of
from trigru.bench.upgrades.changes import compare_snapshots, reservations
from trigru.bench.upgrades.record import (
    KINDS,
    Change,
    Observation,
    Program,
    Snapshot,
    Subject,
    Warned,
)
from trigru.bench.upgrades.snapshot_file import ArrayStore, Loaded
from trigru.bench.upgrades.words import LONGEST, change_lines

CALL = "forward jit float64"
LEAVES = {".w": "float32(2,)", ".b": "int8()"}
PROGRAM = Program(dots=2, loops=1, temporary_bytes=1024, fingerprint="0123456789ab")
TRACES = "traces in 6 calls"
STORE = ArrayStore()
A = np.array([1.0, 2.0, 3.0, 4.0])
B = np.array([1.0, 2.0, 3.0, 5.0])
NEAR = np.array([1.0, 2.0, 3.0, 4 + 1e-15])
F = A.astype("float32")


def told(old, new):
    """The changes between two subjects, as they are read from files: kind, what, old,
    new.
    """
    loaded = []
    for subject in (old, new):
        content = msgspec.json.encode(snapshot_of(subject))
        loaded.append(Loaded(msgspec.json.decode(content, type=Snapshot), STORE))
    changes = compare_snapshots(*loaded)
    assert {change.subject for change in changes} <= {"nnx:fused"}
    return [(c.kind, c.what, c.old, c.new) for c in changes]


def kinds_of(old, new):
    return [kind for kind, *_ in told(old, new)]


def subject(**facts):
    return Subject("nnx:fused", "nnx", **facts)


def seen(name=CALL, **facts):
    return subject(observations={name: Observation(**facts)})


def program(**changed):
    return seen(program=replace(PROGRAM, **changed))


def call(**changed):
    return seen(cost=cost(**changed))


def signed(**defaults):
    return subject(signatures={"f": defaults})


def leaves(leaves):
    return seen(leaves=leaves)


def warning(*texts, where="at call, flax/a.py"):
    return subject(warnings=[Warned(where, text) for text in texts])


def kept(arrays):
    return STORE.keep_all(arrays)


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (
            program(),
            program(loops=2, dots=3),
            ("program", CALL, "dots 2, loops 1", "dots 3, loops 2"),
        ),
        (
            program(),
            program(fingerprint="f" * 12),
            ("program", CALL, "", "the same counts of operations"),
        ),
        (program(), program(temporary_bytes=1044), None),
        (
            program(),
            program(temporary_bytes=1045),
            ("memory", f"{CALL}: temporary memory", "1024 B", "1045 B"),
        ),
        (program(), program(temporary_bytes=1004), None),
        (
            program(),
            program(temporary_bytes=1003),
            ("better", f"{CALL}: temporary memory", "1024 B", "1003 B"),
        ),
        (
            program(temporary_bytes=0),
            program(),
            ("memory", f"{CALL}: temporary memory", "0 B", "1024 B"),
        ),
        (program(temporary_bytes=None), program(), None),
        (program(), seen("another call", program=replace(PROGRAM, dots=9)), None),
        (
            program(kept_bytes=100),
            program(kept_bytes=103),
            ("kept", f"{CALL}: kept for the gradient", "100 B", "103 B"),
        ),
        (
            program(equations=4),
            program(equations=5),
            ("program", CALL, "jaxpr equations 4", "jaxpr equations 5"),
        ),
        (call(), call(leaves=6), ("calls", CALL, "5 leaves", "6 leaves")),
        (call(), call(functions=9), ("better", CALL, "10 functions", "9 functions")),
        (
            call(),
            call(lines=99, functions=11),
            ("calls", CALL, "10 functions", "11 functions"),
        ),
        (call(), call(lines=105), None),
        (
            call(),
            call(traces=7, lines=900),
            ("calls", CALL, f"1 {TRACES}", f"7 {TRACES}"),
        ),
        (call(), seen("another call", cost=cost(lines=500)), None),
        (signed(x="", n="1"), signed(x="", n="2"), ("arguments", "f", "n=1", "n=2")),
        (signed(n="<object object>"), signed(n="None"), None),
        (
            signed(n="<object object>"),
            signed(n="2"),
            ("arguments", "f", "n=<object object>", "n=2"),
        ),
        (
            signed(x="", n="1"),
            signed(x=""),
            ("arguments", "f", "", "lost argument n"),
        ),
        (
            signed(x="", size="50"),
            signed(x="", size="50", n="1"),
            ("better", "f", "", "also takes n=1"),
        ),
        (signed(x=""), signed(x="", n=""), ("arguments", "f", "", "needs n")),
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
            subject(styles={"jit": ""}),
            subject(styles={}),
            ("broken", "style jit", "works", "is gone"),
        ),
        (
            subject(styles={"jit": "no"}),
            subject(styles={"jit": ""}),
            ("better", "style jit", "no", "works"),
        ),
        (subject(styles={"jit": "no"}), subject(styles={"jit": "not yet"}), None),
        (subject(styles={}), subject(styles={"other": "no"}), None),
        (
            subject(styles={"jit": ""}),
            subject(missing="is absent"),
            ("broken", "import", "works", "is absent"),
        ),
        (
            subject(missing="is absent"),
            subject(),
            ("better", "import", "is absent", "works"),
        ),
        (subject(missing="is absent"), subject(missing="does not import"), None),
        (
            subject(problems={"f": "no"}),
            subject(missing="is absent"),
            ("broken", "import", "works", "is absent"),
        ),
        (subject(problems={"f": "no"}), subject(problems={"f": "another"}), None),
        (
            leaves({}),
            leaves(LEAVES),
            ("better", f"{CALL}: leaves", "", ", ".join(LEAVES)),
        ),
        (
            leaves(LEAVES),
            leaves({".b": "int8()"}),
            ("tree", f"{CALL}: leaves", ".w", "none"),
        ),
        (
            leaves(LEAVES),
            leaves({".a": "int8()"} | LEAVES | {".z": "int8()"}),
            ("tree", f"{CALL}: leaves", "none", ".a, .z"),
        ),
        (
            leaves(LEAVES),
            leaves(LEAVES | {".w": "float32(3,)"}),
            ("tree", f"{CALL}: leaf .w", "float32(2,)", "float32(3,)"),
        ),
        (
            leaves(LEAVES),
            leaves(dict(reversed(LEAVES.items()))),
            ("tree", f"{CALL}: order of the leaves", ".w, .b", ".b, .w"),
        ),
        (leaves(LEAVES), subject(), None),
        (subject(), leaves(LEAVES), None),
        (
            subject(),
            warning("UserWarning: soon"),
            ("warnings", "at call, flax/a.py", "", "UserWarning: soon"),
        ),
        (
            warning("UserWarning: soon"),
            warning("UserWarning: soon", "UserWarning: now"),
            ("warnings", "at call, flax/a.py", "", "UserWarning: now"),
        ),
        (
            warning("UserWarning: soon", where="at call, trigru/a.py"),
            warning("UserWarning: soon", where="at call, trigru/b.py"),
            None,
        ),
        (warning("UserWarning: soon"), subject(), None),
        (
            seen(texts={"error": "ValueError"}),
            seen(texts={"error": "KeyError"}),
            ("function", f"{CALL}: error", "ValueError", "KeyError"),
        ),
        (
            seen(texts={"error": "ValueError"}),
            seen(results=kept({"error": A})),
            ("function", f"{CALL}: error", "ValueError", "numbers"),
        ),
        (
            seen(results=kept({"error": A})),
            seen(texts={"error": "ValueError"}),
            ("function", f"{CALL}: error", "numbers", "ValueError"),
        ),
        (
            seen(results=kept({"result": A}), cost=cost()),
            seen(cost=cost()),
            ("function", f"{CALL}: results", "result", "none"),
        ),
        (seen(results=kept({"result": A}), cost=cost()), seen(), None),
        (
            leaves(LEAVES),
            leaves({}),
            ("tree", f"{CALL}: leaves", ".w, .b", "none"),
        ),
    ],
)
def test_a_change_says_which_fact_it_is_of_and_what_it_was_and_is(old, new, change):
    assert told(old, new) == ([] if change is None else [change])
    assert told(old, old) == told(new, new) == []


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (
            signed(),
            subject(signatures={"g": {}}),
            [("arguments", "names", "f", "gone"), ("better", "names", "", "g")],
        ),
        (
            program(equations=100),
            program(equations=126),
            [
                ("work", f"{CALL}: jaxpr equations", "100", "126"),
                ("program", CALL, "jaxpr equations 100", "jaxpr equations 126"),
            ],
        ),
        (
            subject(problems={"f": "no", "g": "no"}),
            subject(),
            [("better", "f", "no", "works"), ("better", "g", "no", "works")],
        ),
        (
            subject(),
            subject(problems={"f": "no", "g": "no"}),
            [("broken", "f and 1 more call", "works", "no")],
        ),
        (
            subject(styles={"jit": ""}, observations=call().observations),
            subject(styles={"jit": "no"}, observations=call(lines=110).observations),
            [
                ("broken", "style jit", "works", "no"),
                ("calls", CALL, "100 lines", "110 lines"),
            ],
        ),
    ],
)
def test_several_changes_are_told_causes_first(old, new, changes):
    assert told(old, new) == changes


ONE_LEAF = {".w": "float32(2,)"}


def test_counts_of_python_are_not_compared_with_other_leaves():
    old = seen(leaves=LEAVES, cost=cost())
    new = seen(leaves=ONE_LEAF, cost=cost(lines=900))
    assert kinds_of(old, new) == ["tree"]


def test_traces_are_compared_with_other_leaves_too():
    old = seen(leaves=LEAVES, cost=cost())
    new = seen(leaves=ONE_LEAF, cost=cost(traces=7, lines=900))
    assert kinds_of(old, new) == ["tree", "calls"]


def test_the_leaves_of_what_fails_are_not_told_as_gone():
    observations = {"f": Observation(leaves=LEAVES)}
    failed = {"f": Observation(leaves={".w": "float32(2,)"})}
    old = subject(observations=observations)
    new = subject(observations=failed, problems={"f": "TypeError"})
    assert told(old, new) == [("broken", "f", "works", "TypeError")]


def test_each_subject_is_compared_with_the_one_of_its_name():
    """Parts come before the ports that are made of them."""

    def subjects(lines):
        return [
            Subject(name, "nnx", observations=call(lines=number).observations)
            for name, number in lines.items()
        ]

    old = snapshot_of(*subjects({"nnx": 1, "nnx:fused": 2, "jax, optax": 1}))
    new = snapshot_of(*subjects({"jax, optax": 9, "nnx": 11, "nnx:fused": 12}))
    changes = compare_snapshots(Loaded(old, {}), Loaded(new, {}))
    assert [(change.subject, change.old) for change in changes] == [
        ("jax, optax", "1 lines"),
        ("nnx", "1 lines"),
        ("nnx:fused", "2 lines"),
    ]
    mine = snapshot_of(*subjects({"mine": 1}))
    assert compare_snapshots(Loaded(mine, {}), Loaded(new, {})) == []


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
    names = ("carry", "outputs")
    before = seen(results=kept(dict(zip(names, old, strict=True))))
    after = seen(results=kept(dict(zip(names, new, strict=True))))
    assert told(before, after) == [(kind, f"{CALL}: {what}", "", how)]


def test_other_names_of_results_are_another_function():
    old = seen(results=kept({"a": A, "b": A, "c": A}))
    new = seen(results=kept({"a": A, "z": A, "c": B}))
    assert told(old, new) == [("function", f"{CALL}: results", "b", "z")]


def test_a_result_that_is_a_leaf_of_the_tree_is_told_once():
    old = seen(results=kept({"a": A, "b": A}), leaves={"b": "float64(4,)"})
    new = seen(results=kept({"a": A, "z": A}), leaves={"z": "float64(4,)"})
    assert kinds_of(old, new) == ["tree"]


def test_draws_that_changed_in_different_ways_are_changes_of_their_own():
    """One that is another is not hidden by one that is rounded in another way."""
    old = seen("gru", draws=kept({".w": A, ".u": A, ".b": A}))
    new = seen("gru", draws=kept({".w": NEAR, ".u": A, ".b": B}))
    assert [(kind, what) for kind, what, *_ in told(old, new)] == [
        ("draws", "gru: 1 of 3 draws, the first .b"),
        ("bits", "gru: 1 of 3 draws, the first .w"),
    ]


@pytest.mark.parametrize(
    "other", [F, A[None], A.astype(int), (10**12 * A).astype(int)], ids=str
)
def test_draws_of_another_dtype_or_shape_and_whole_numbers_are_other_draws(other):
    for old, new in ((A, other), (other, A), (other, other + 1)):
        changes = told(seen(draws=kept({".w": old})), seen(draws=kept({".w": new})))
        assert [kind for kind, *_ in changes] == ["draws"]


@pytest.mark.parametrize(("share", "kind"), [(5e-8, "bits"), (7e-8, "function")])
def test_rounded_constants_are_no_other_function(share, kind):
    old = seen(exact_results=kept({"result": A}))
    new = seen(exact_results=kept({"result": A * (1 + share)}))
    assert kinds_of(old, new) == [kind]


def test_constants_of_a_program_in_float64_are_not_rounded():
    facts = {"leaves": {"result": "float64(4,)"}}
    old = seen(exact_results=kept({"result": A}), **facts)
    new = seen(exact_results=kept({"result": A + 1e-9}), **facts)
    assert kinds_of(old, new) == ["function"]


def test_what_is_new_is_no_change():
    old = subject(observations={"old": Observation(leaves=LEAVES)})
    new_one = {"row": Observation(leaves=LEAVES, draws=kept({".w": A}))}
    new = subject(observations=old.observations | new_one)
    assert told(old, new) == []


SMALL = replace(PROGRAM, kept_bytes=10, equations=10)
GROWN = replace(PROGRAM, kept_bytes=90, equations=90)


def test_a_program_that_grew_keeps_more_and_has_more_work():
    assert kinds_of(seen(program=SMALL), seen(program=GROWN)) == [
        "kept",
        "work",
        "program",
    ]


def test_with_other_parameters_a_program_is_another_and_costs_no_more():
    """It keeps and computes something else."""
    gradient = kept({"gradient of w": A})
    leaf = {"gradient of w": "float64(4,)"}
    new = seen(program=GROWN, exact_results=gradient, leaves=leaf)
    old = seen(program=SMALL, leaves={"result": "float64()"})
    assert kinds_of(old, new) == ["tree", "program"]


@pytest.mark.parametrize(
    ("python", "is_compared"), [("3.13.9", True), ("3.12.5", False), ("4.13.5", False)]
)
def test_counts_of_python_are_compared_within_a_minor_version(python, is_compared):
    machine = machine_with(MACHINE.versions | {"python": python})
    old = snapshot_of(call())
    new = snapshot_of(call(lines=1), machine=machine)
    changes = compare_snapshots(Loaded(old, {}), Loaded(new, {}))
    assert bool(changes) is is_compared
    sentence = (
        f"Python {python}, was 3.13.5: calls are not compared, since each Python "
        "counts in its own way."
    )
    assert reservations(old, new) == ([] if is_compared else [sentence])


LINEN = Subject("linen", "linen")
MAY_DIFFER = ": bits, programs and memory may differ for that alone."


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            snapshot_of(LINEN, machine=replace(MACHINE, device="B CPU")),
            f"device A CPU -> B CPU{MAY_DIFFER}",
        ),
        (
            snapshot_of(LINEN, machine=replace(MACHINE, environment={})),
            f"OMP_NUM_THREADS 8 -> none{MAY_DIFFER}",
        ),
        (
            snapshot_of(LINEN, Subject("mine", "mine")),
            "in one of them alone, and not compared: mine.",
        ),
    ],
)
def test_what_may_explain_a_change_or_is_not_compared_is_said(other, sentence):
    plain = snapshot_of(LINEN)
    assert reservations(plain, other) == [sentence]
    assert len(reservations(other, plain)) == 1
    assert reservations(other, other) == []


def parts_of_linen(*names: str, **facts: Any) -> Snapshot:
    observations = {name: Observation() for name in names}
    return snapshot_of(
        Subject("linen's parts", "linen", observations=observations, **facts)
    )


def test_parts_that_only_one_trigru_looks_at_are_counted():
    old = parts_of_linen("dense layer", "nn.Dense(H)")
    new = parts_of_linen("dense layer", "layer norm")
    sentence = (
        "another trigru took one of them: 2 parts of the frameworks in one of them "
        "alone, and not compared."
    )
    assert reservations(old, new) == [sentence]


@pytest.mark.parametrize("what", ["layer norm", "import"])
def test_a_part_that_failed_was_looked_at(what):
    old = parts_of_linen("layer norm")
    new = parts_of_linen(problems={what: "ValueError: no"})
    assert reservations(old, new) == []


def test_a_long_text_is_cut_and_a_kernel_is_told_with_its_port():
    changes = []
    for name in ("nnx", "nnx:fused", "pure:fused"):
        what = "x" * (LONGEST + 1)
        changes.append(Change("function", name, what, "", "", "a.py:1"))
    line = change_lines(changes, ["function"])[2]
    assert f"function: nnx, pure:fused: {'x' * LONGEST}…: none" in line


@pytest.mark.parametrize("fail_on", [("function", "draws"), ("bits", "tree")])
def test_each_kind_is_shown_before_a_second_change_of_one_and_first_what_fails(
    fail_on,
):
    changes = []
    for number in range(9):
        for kind in KINDS:
            line = f"a.py:{number}"
            changes.append(Change(kind, f"part {number}", "it", "", f"{number}", line))
    texts = change_lines(changes, fail_on)[2:]
    lines = [text for text in texts if not text.startswith("    at ")]
    others = [kind for kind in KINDS if kind not in fail_on]
    failing = [kind for kind in KINDS if kind in fail_on]
    kinds = dict.fromkeys(line.partition(":")[0] for line in lines)
    assert list(kinds) == [*failing, *others]
    for kind in fail_on:
        (counted,) = [line for line in lines if line.startswith(f"{kind}:")][-1:]
        assert counted.endswith(" more like this: --details)")

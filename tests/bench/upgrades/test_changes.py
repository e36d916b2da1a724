"""What two snapshots make of a difference: kinds, thresholds, order."""

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE, PROGRAM
from trigru.bench.upgrades.changes import FAILING, KINDS, changes, reservations
from trigru.bench.upgrades.distance import bound_of, ulps
from trigru.bench.upgrades.folder import name_of
from trigru.bench.upgrades.record import (
    SCHEMA,
    Calls,
    Checkpoint,
    Draw,
    Leaf,
    Program,
    Snapshot,
    Subject,
    Values,
    Warned,
    Where,
)
from trigru.common.equality.measurement import Measurement
from trigru.common.port.collectives import Collective

FORWARD = Where("jit", "forward", "float64")
CALLS = Calls(FORWARD, 5, 10, 20, 100, 1)
ORDER = "another order"


def snapshot(equality=None, machine=MACHINE, departures=(), **facts):
    return Snapshot(SCHEMA, [], "", machine, equality, list(departures), [Subject("linen", "linen", **facts)])


def kinds(old, new, arrays=((), ())):
    """The kinds of changes between two snapshots, of which each has arrays."""
    was, now = ({name_of(a): a for a in some} for some in arrays)
    return [change.kind for change in changes((old, was), (new, now))]


def of_values(array):
    return snapshot(values=[Values(FORWARD, {"carry": name_of(array)})])


def test_every_kind_that_fails_is_a_kind():
    assert set(FAILING) < set(KINDS)


@pytest.mark.parametrize(
    ("dtype", "factor", "kind"),
    [
        ("float64", 1 + 2e-13, "bits"),
        ("float64", 1 + 2e-12, "function"),
        ("float32", 1 + 1e-5, "bits"),
        ("float32", 1 + 1e-2, "function"),
        ("float64", np.nan, "function"),
    ],
)
def test_beyond_rounding_is_another_function(dtype, factor, kind):
    array = np.array([1.0, 2.0], dtype)
    moved = (array * factor).astype(dtype)
    assert kinds(of_values(array), of_values(moved), ([array], [moved])) == [kind]


def test_another_shape_is_another_function():
    one, two = np.ones(2), np.ones((2, 1))
    assert kinds(of_values(one), of_values(two), ([one], [two])) == ["function"]


def test_the_first_array_and_the_worst_are_named():
    a, b = np.array([1.0]), np.array([1 + 3e-16])
    far = np.array([1 + 1e-13])
    old = snapshot(values=[Values(FORWARD, {"carry": name_of(a), "outputs": name_of(a)})])
    new = snapshot(values=[Values(FORWARD, {"carry": name_of(b), "outputs": name_of(far)})])
    (found,) = changes((old, {name_of(a): a}), (new, {name_of(x): x for x in (b, far)}))
    assert found.new == "first carry, by 1 ulp; worst outputs, by 1.0e-13 of it"


def test_ulps_of_numbers_around_zero_are_finite():
    assert ulps(np.array([0.0]), np.array([0.0])) == 0
    assert np.isfinite(ulps(np.array([0.0]), np.array([5e-324])))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_bounds_grow_with_the_unit_of_the_dtype(dtype):
    assert bound_of(dtype) > bound_of("float64")


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"traces": 2}, "calls"),
        ({"lines": 101}, "calls"),
        ({"functions": 11}, "calls"),
        ({"builtins": 21}, "calls"),
        ({"leaves": 6}, "calls"),
        ({"lines": 99}, "better"),
        ({"lines": 99, "traces": 2}, "calls"),
    ],
)
def test_each_count_of_a_call_is_compared(changed, kind):
    assert kinds(snapshot(calls=[CALLS]), snapshot(calls=[msgspec.structs.replace(CALLS, **changed)])) == [kind]


def test_calls_of_two_pythons_are_not_compared():
    other = msgspec.structs.replace(MACHINE, versions={**MACHINE.versions, "python": "3.11.1"})
    new = snapshot(machine=other, calls=[msgspec.structs.replace(CALLS, lines=500)])
    assert kinds(snapshot(calls=[CALLS]), new) == []
    assert any("calls are not compared" in said for said in reservations(snapshot(), new))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"temp_bytes": 2048}, ["memory"]),
        ({"temp_bytes": 1030}, []),
        ({"temp_bytes": 100}, ["better"]),
        ({"dots": 3}, ["program"]),
        ({"fusions": 6}, ["program"]),
        ({"whiles": 2}, ["program"]),
        ({"transposes": 4}, ["program"]),
        ({"fingerprint": "ffffffffffff"}, ["program"]),
        ({"temp_bytes": 2048, "dots": 3}, ["memory", "program"]),
    ],
)
def test_each_fact_of_a_program_is_compared(changed, found):
    old, new = (
        snapshot(programs=[Program(FORWARD, msgspec.structs.replace(PROGRAM, **some), 10, 5)]) for some in ({}, changed)
    )
    assert kinds(old, new) == found


@pytest.mark.parametrize(
    ("before", "after", "found"), [(0, 4096, ["memory"]), (4096, 0, ["better"]), (None, 4096, []), (4096, None, [])]
)
def test_no_memory_is_compared_and_unknown_memory_is_not(before, after, found):
    old, new = (
        snapshot(programs=[Program(FORWARD, msgspec.structs.replace(PROGRAM, temp_bytes=size), 10, 5)])
        for size in (before, after)
    )
    assert kinds(old, new) == found


@pytest.mark.parametrize(
    ("failed", "told"), [(["stock"], ["linen:fused"]), (["fused"], ["linen"]), ([], ["linen", "linen:fused"])]
)
def test_a_check_is_compared_for_each_kernel(failed, told):
    """All fail now; some failed before, too."""

    def measured(failing):
        error = {name: 1.0 if name in failing else 0.0 for name in ("stock", "fused")}
        return [
            Measurement("linen", "forward", "jit", "carry", "float64", error=e, bound=1e-12, kernel=kernel)
            for kernel, e in error.items()
        ]

    found = changes((snapshot(measured(failed)), {}), (snapshot(measured(["stock", "fused"])), {}))
    assert [(change.kind, change.subject) for change in found] == [("broken", name) for name in told]


def test_operations_before_xla_are_compared():
    old, more, longer = (snapshot(programs=[Program(FORWARD, PROGRAM, *n)]) for n in ((10, 5), (11, 5), (10, 6)))
    assert kinds(old, more) == kinds(old, longer) == ["program"]


def test_an_exchange_between_devices_that_moves_into_a_loop_is_told():
    where = Where("jit", "train_step", "float32", "adam", "placed")
    once, often = (Collective("all-reduce", 1024, runs, in_loop) for runs, in_loop in ((1, False), (7, True)))
    old, new = (
        snapshot(programs=[Program(where, msgspec.structs.replace(PROGRAM, collectives=(c,)), 10, None)])
        for c in (once, often)
    )
    (found,) = changes((old, {}), (new, {}))
    assert (found.kind, found.what) == ("program", "train_step jit adam float32 placed on two devices")
    assert (found.old, found.new) == (
        "exchange all-reduce of 1,024 bytes",
        "exchange all-reduce of 1,024 bytes, 7 times, in a loop",
    )


def test_a_check_that_fails_now_is_broken_and_one_that_passes_now_is_better():
    good = Measurement("linen", "sequence", None, "carry", "float64", 1e-16, 1e-12)
    bad = Measurement("linen", "sequence", None, "carry", "float64", 1e-3, 1e-12)
    assert kinds(snapshot([good]), snapshot([bad])) == ["broken"]
    assert kinds(snapshot([bad]), snapshot([good])) == ["better"]
    assert kinds(snapshot([good]), snapshot([good])) == []
    assert kinds(snapshot([good]), snapshot(None)) == []


def test_a_row_that_fails_is_compared_with_the_rows_that_passed():
    row = Measurement("linen", "contract", None, "carry", "float64", 1e-16, 1e-12, levels={"time": "1"})
    failed = Measurement("linen", "lengths", None, "carry", "float64", 1e-3, 1e-12, levels={"lengths": "passed"})
    assert kinds(snapshot([row]), snapshot([failed])) == ["broken"]


def test_a_failure_beside_an_old_one_is_told_and_what_is_not_offered_is_none():
    old, new, other = (
        Measurement("linen", "sequence", None, quantity, "float64", error, 1e-12)
        for quantity, error in (("carry", 1e-3), ("outputs", 1e-3), ("outputs", 1e-16))
    )
    assert kinds(snapshot([old, other]), snapshot([old, new])) == ["broken"]
    left_out = Measurement("linen", "sequence", None, "outputs", "float64", None, 0.0, "not offered: by nn.RNN")
    assert kinds(snapshot([other]), snapshot([left_out])) == []


@pytest.mark.parametrize(("factor", "kind"), [(1 + 1e-5, "bits"), (1.1, "draws")])
def test_a_draw_that_is_rounded_in_another_way_is_the_same_draw(factor, kind):
    array = np.array([1.0, 2.0], "float32")
    moved = (array * factor).astype("float32")
    old, new = (snapshot(draws=[Draw("gru", 0, ".w", name_of(a))]) for a in (array, moved))
    assert kinds(old, new, ([array], [moved])) == [kind]


def test_one_draw_that_is_another_is_not_hidden_by_one_that_is_rounded():
    arrays = [np.array([1.0, 2.0], "float32"), np.array([3.0], "float32")]
    moved = [(arrays[0] * (1 + 1e-5)).astype("float32"), arrays[1] * 2]
    old, new = (
        snapshot(draws=[Draw("gru", 0, path, name_of(a)) for path, a in zip((".w", ".b"), some, strict=True)])
        for some in (arrays, moved)
    )
    assert kinds(old, new, (arrays, moved)) == ["draws"]


def test_the_draws_of_a_model_are_counted_among_its_own():
    arrays, moved = ([np.array([x + n], "float32") for n in range(3)] for x in (1.0, 9.0))

    def drawn(some):
        return snapshot(draws=[Draw(("gru", "gru", "top")[n], n, ".w", name_of(a)) for n, a in enumerate(some)])

    old, new = drawn(arrays), drawn([moved[0], *arrays[1:]])
    known = {name_of(a): a for a in (*arrays, *moved)}
    (found,) = changes((old, known), (new, known))
    assert found.what.startswith("gru: 1 of 2 draws, the first .w of key 0")


@pytest.mark.parametrize("changed", [{"shape": (3,)}, {"dtype": "bfloat16"}])
def test_each_fact_of_a_leaf_is_compared(changed):
    leaf = Leaf(".w", (2,), "float32")
    assert kinds(snapshot(tree=[leaf]), snapshot(tree=[msgspec.structs.replace(leaf, **changed)])) == ["tree"]
    assert kinds(snapshot(tree=[leaf]), snapshot(tree=[leaf])) == []


def test_a_style_that_is_gone_is_broken():
    assert kinds(snapshot(styles={"jit": ""}), snapshot(styles={})) == ["broken"]


def test_a_departure_that_is_gone_is_told():
    old, new = (snapshot([], departures=[("nn.RNN", "has no b_hn", status)]) for status in ("on record", "GONE"))
    (found,) = changes((old, {}), (new, {}))
    assert (found.kind, found.subject, found.new) == ("function", "nn.RNN", "GONE")


def test_a_warning_is_told_once_and_only_if_it_is_new():
    warned = Warned("call", "DeprecationWarning", "soon", "flax/nnx/graph.py")
    assert kinds(snapshot(), snapshot(warnings=[warned])) == ["warnings"]
    assert kinds(snapshot(warnings=[warned]), snapshot(warnings=[warned])) == []
    assert kinds(snapshot(warnings=[warned]), snapshot()) == []


def test_a_style_that_is_missing_now_is_broken():
    old, new = snapshot(styles={"jit": ""}), snapshot(styles={"jit": "flax 0.10 has none"})
    assert kinds(old, new) == ["broken"]
    assert kinds(new, old) == ["better"]
    assert kinds(old, snapshot(styles={"jit": "", "other": ""})) == []


def test_a_port_that_does_not_import_is_broken():
    assert kinds(snapshot(), snapshot(missing="flax is not installed")) == ["broken"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (["w (2,)"], ("h (6,)", "none")),
        (["h (6,)", "w (3,)"], ("w (2,)", "w (3,)")),
        (["w (2,)", "h (6,)"], (ORDER, ORDER)),
    ],
)
def test_a_checkpoint_that_loses_a_name_changes_a_shape_or_the_order_is_told(now, said):
    old, new = (snapshot(checkpoints=[Checkpoint("linen.msgpack", names, {})]) for names in (["h (6,)", "w (2,)"], now))
    (change,) = changes((old, {}), (new, {}))
    assert (change.kind, change.what, change.old, change.new) == ("checkpoints", "linen.msgpack", *said)


def test_the_worst_kind_comes_first():
    old = snapshot(calls=[CALLS], styles={"jit": ""})
    new = snapshot(calls=[msgspec.structs.replace(CALLS, lines=101)], styles={"jit": "gone"})
    assert kinds(old, new) == ["broken", "calls"]


def test_what_one_snapshot_alone_looked_at_is_no_change():
    assert kinds(snapshot(calls=[CALLS]), snapshot()) == []
    old = Snapshot(SCHEMA, [], "", MACHINE, None, [], [Subject("mine", "mine")])
    assert kinds(old, snapshot()) == []


@pytest.mark.parametrize("field", ["device", "xla_flags"])
def test_another_processor_or_flag_is_told(field):
    other = snapshot(machine=msgspec.structs.replace(MACHINE, **{field: "--xla_cpu_max_isa=AVX2"}))
    assert any("may differ for that alone" in said for said in reservations(snapshot(), other))
    assert reservations(snapshot(), snapshot()) == []


def test_what_one_of_two_snapshots_has_is_told_whichever_it_is():
    more = Snapshot(SCHEMA, [], "", MACHINE, None, [], [Subject("linen", "linen"), Subject("mine", "mine")])
    for two in ((snapshot(), more), (more, snapshot())):
        assert "in one of them alone, and not compared: mine." in reservations(*two)


def test_another_setting_of_the_environment_is_told():
    other = msgspec.structs.replace(MACHINE, environment={"JAX_THREEFRY_PARTITIONABLE": "0"})
    said = reservations(snapshot(), snapshot(machine=other))
    assert any(line.startswith("JAX_THREEFRY_PARTITIONABLE 0, was not set") for line in said)

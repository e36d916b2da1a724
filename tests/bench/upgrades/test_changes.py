"""What two snapshots make of a difference: kinds, thresholds, order."""

import msgspec
import numpy as np
import pytest
from support.runs import MACHINE, PROGRAM
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import FAILING, KINDS, changes, reservations
from trigru.bench.upgrades.distance import ulps
from trigru.bench.upgrades.folder import name_of
from trigru.bench.upgrades.record import Calls, Checkpoint, Draw, Program, Subject, Values, Warned, Where
from trigru.common.equality.measurement import Measurement
from trigru.common.port.collectives import Collective

FORWARD = Where("jit", "forward", "float64")
CALLS = Calls(FORWARD, 5, 10, 20, 100, 1)
ORDER = "another order"


def snapshot(equality=None, machine=MACHINE, **facts):
    return snapshot_of(Subject("linen", "linen", **facts), equality=equality, machine=machine)


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


def test_ulps_of_numbers_around_zero_are_finite():
    assert ulps(np.array([0.0]), np.array([0.0])) == 0
    assert np.isfinite(ulps(np.array([0.0]), np.array([5e-324])))


@pytest.mark.parametrize(
    ("before", "after", "found"), [(0, 4096, ["memory"]), (4096, 0, ["better"]), (None, 4096, []), (4096, None, [])]
)
def test_no_memory_is_compared_and_unknown_memory_is_not(before, after, found):
    old, new = (
        snapshot(programs=[Program(FORWARD, msgspec.structs.replace(PROGRAM, temp_bytes=size), 10, 5)])
        for size in (before, after)
    )
    assert kinds(old, new) == found


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


def test_a_warning_is_told_once_and_only_if_it_is_new():
    warned = Warned("call", "DeprecationWarning", "soon", "flax/nnx/graph.py")
    assert kinds(snapshot(), snapshot(warnings=[warned])) == ["warnings"]
    assert kinds(snapshot(warnings=[warned]), snapshot(warnings=[warned])) == []
    assert kinds(snapshot(warnings=[warned]), snapshot()) == []


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
    old = snapshot_of(Subject("mine", "mine"))
    assert kinds(old, snapshot()) == []


@pytest.mark.parametrize("field", ["device", "xla_flags"])
def test_another_processor_or_flag_is_told(field):
    other = snapshot(machine=msgspec.structs.replace(MACHINE, **{field: "--xla_cpu_max_isa=AVX2"}))
    assert any("may differ for that alone" in said for said in reservations(snapshot(), other))
    assert reservations(snapshot(), snapshot()) == []


def test_what_one_of_two_snapshots_has_is_told_whichever_it_is():
    more = snapshot_of(Subject("linen", "linen"), Subject("mine", "mine"))
    for two in ((snapshot(), more), (more, snapshot())):
        assert "in one of them alone, and not compared: mine." in reservations(*two)


def test_another_setting_of_the_environment_is_told():
    other = msgspec.structs.replace(MACHINE, environment={"JAX_THREEFRY_PARTITIONABLE": "0"})
    said = reservations(snapshot(), snapshot(machine=other))
    assert any(line.startswith("JAX_THREEFRY_PARTITIONABLE 0, was not set") for line in said)

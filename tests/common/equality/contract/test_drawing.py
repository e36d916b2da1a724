"""Rows of random sizes, and every triple of levels: what `trigru verify --thorough` asks beside the usual."""

import re
import sys
from itertools import combinations

import hypothesis
import jax.numpy as jnp
import pytest
from hypothesis import given, settings, strategies
from trigru.common.equality.checks import THOROUGH, get_checks
from trigru.common.equality.checks.extremes import SCALE
from trigru.common.equality.contract import designs, drawing
from trigru.common.equality.contract.covering import cover_triples, triples_of
from trigru.common.equality.contract.data import config_of, data_of, sizes_of
from trigru.common.equality.contract.drawing import draw, drawing_row, rows_of
from trigru.common.equality.contract.examination import Finding
from trigru.common.equality.contract.factors import space_of
from trigru.common.equality.verification import Examiner, Question, verify
from trigru.common.errors import InputError, NotOfferedError
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port
from trigru.impls.pure import PurePort

from .test_design import SMALL, everything, held

PORT = get_port("pure")
#: beartype, which checks types in tests, looks at random entries.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


@given(rows_of(WithKernel(PORT, "fused")))
@settings(max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_a_drawn_row_has_data_and_a_model(row):
    sizes, data, config = sizes_of(row), data_of(row, "float64"), config_of(row, "float64")
    assert data.x.shape == (*sizes.batch, sizes.time, sizes.inputs)
    assert config.hidden_size == sizes.hidden
    assert config.unroll <= sizes.time + 2
    if row["entry"] == "classifier":
        assert len(sizes.batch) == 1
        assert row["resets"] == row["carry"] == "none"
    if row["entry"] == "chunks":
        assert sizes.time > 1
    if row["transform"] == "eager":
        assert row["phase"] == "forward"


def test_drawn_rows_differ_in_sizes_and_in_levels():
    rows = []

    def collect(row):
        rows.append(row)
        return True

    drawn = draw(PORT, 3.0, 0, collect)
    assert drawn.failed is None
    assert drawn.rows == len(rows) > 50
    for name, least in (("time", 15), ("hidden", 10), ("batch", 10), ("seed", 20), ("entry", 4), ("transform", 6)):
        assert len({row.get(name) for row in rows}) >= least, name
    again = []
    draw(PORT, 1.0, 0, lambda row: not again.append(row))
    assert len(again) > 5
    assert all(one == other for one, other in zip(again, rows, strict=False)), "the same seed draws the same rows"
    others = []
    draw(PORT, 1.0, 1, lambda row: not others.append(row))
    assert others[1:6] != rows[1:6]


def test_the_smallest_row_that_fails_is_told():
    drawn = draw(PORT, 60.0, 0, lambda row: not (int(row["time"]) >= 23 and row["reverse"] == "yes"))
    assert drawn.failed is not None
    assert (drawn.failed["time"], drawn.failed["reverse"], drawn.failed["carry"]) == ("23", "yes", "none")


def test_shrinking_ends_with_its_time(monkeypatch):
    monkeypatch.setattr(drawing, "SHRINK_S", 0.0)
    clock = iter([0.0] * 40 + [100.0] * 100_000)
    monkeypatch.setattr(drawing, "monotonic", lambda: next(clock))
    drawn = draw(PORT, 10.0, 0, lambda row: int(row["time"]) < 5)
    assert drawn.failed is not None
    assert int(drawn.failed["time"]) >= 5


class WrongAtManyUnits(PurePort):
    """Right at all sizes of the design that are quick: 1, 6 and 16 units."""

    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        wrong = carry.shape[-1] in range(17, 25) or carry.shape[-1] in range(7, 16)
        return carry * (2 if wrong else 1), outputs


@pytest.mark.usefixtures("unchecked")
def test_a_fault_at_sizes_that_no_design_has_is_found_and_told_by_the_least_call():
    port = WrongAtManyUnits()
    (found,) = verify([port], checks=get_checks("random"))
    assert not found.passed
    assert int(found.levels.get("hidden", 0)) == 7, found
    assert set(found.levels) <= {"hidden", "time", "inputs", "batch"}, "the rest is as usual"
    assert "hidden=7" in str(found)


def test_rows_are_drawn_by_hypothesis_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(InputError, match="pip install hypothesis"):
        draw(PORT, 1.0, 0, lambda row: True)


def test_a_drawing_says_how_many_rows_passed(monkeypatch):
    monkeypatch.setattr("trigru.common.equality.verification._examine", lambda row, port: Passed())
    check = get_checks("random")[0]
    (found,) = Examiner().ask(Question(PORT, check, None, "float64", drawing_row(2.0, 7)))
    assert found.passed
    assert "drawn rows, by seeds 7 to " in found.quantity
    assert int(found.quantity.partition(" ")[0]) > 5


class Passed:
    passed = offered = True


class OneWay(PurePort):
    """Does not run backwards, and says so."""

    def apply(self, model, x, carry=None, *, reverse=False, **options):
        if reverse:
            raise NotOfferedError("this GRU runs forwards alone")
        return super().apply(model, x, carry, **options)


def ask_drawn(port, seconds):
    (found,) = Examiner().ask(Question(port, get_checks("random")[0], None, "float64", drawing_row(seconds, 0)))
    return found


@pytest.mark.usefixtures("unchecked")
def test_rows_that_are_not_offered_are_skipped_and_counted(monkeypatch):
    asked = []

    def examine(row, port, dtype):
        asked.append(row)
        if row["reverse"] == "yes":
            raise NotOfferedError("this GRU runs forwards alone")
        return Finding("outputs of usual values", 0.0, 1e-12)

    monkeypatch.setattr("trigru.common.equality.verification.examine", examine)
    found = ask_drawn(PORT, 2.0)
    assert found.passed
    rows, skipped = map(int, re.findall(r"^(\d+) drawn rows, .* \((\d+) more are not offered\)$", found.quantity)[0])
    assert rows == sum(row["reverse"] == "no" for row in asked) > 5
    assert skipped == sum(row["reverse"] == "yes" for row in asked) > 0


@pytest.mark.usefixtures("unchecked")
def test_a_fault_is_found_beside_rows_that_are_not_offered(monkeypatch):
    usual = space_of(PORT).usual | drawing_row(0.0, 0)
    ways = [{"reverse": way, "resets": mask} for way in ("yes", "no") for mask in ("none", "passed")]
    few = strategies.sampled_from([usual | way for way in ways])
    monkeypatch.setattr(drawing, "rows_of", lambda port: few)

    class Wrong(OneWay):
        def apply(self, model, x, carry=None, **options):
            carry, outputs = super().apply(model, x, carry, **options)
            return carry, outputs * (2 if options.get("resets") is not None else 1)

    found = ask_drawn(Wrong(), 60.0)
    assert not found.passed
    assert found.offered
    assert found.levels["resets"] == "passed"


def test_a_drawing_without_a_row_passes_nothing(monkeypatch):
    found = ask_drawn(PORT, 0.0)
    assert (found.passed, found.offered, found.problem) == (False, True, "no row was asked in 0.0 s")

    def examine(*_):
        raise NotOfferedError("nothing here")

    monkeypatch.setattr("trigru.common.equality.verification.examine", examine)
    found = ask_drawn(PORT, 1.0)
    assert (found.passed, found.offered, found.problem) == (False, False, "not offered: nothing here")


@pytest.mark.parametrize("names", list(combinations("abcd", 3)))
def test_rows_hold_each_triple_that_can_be_had(names):
    rows = cover_triples(SMALL)
    assert all(row in everything(SMALL) for row in rows)
    assert held(rows, names) == held(everything(SMALL), names)


def test_triples_are_counted_from_rows():
    rows = cover_triples(SMALL)
    expected = sum(len(held(everything(SMALL), names)) for names in combinations("abcd", 3))
    assert triples_of(SMALL, rows) == (expected, expected)
    held_by_one, of = triples_of(SMALL, rows[:1])
    assert (held_by_one, of) == (4, expected)


def test_the_design_of_triples_is_in_float64(monkeypatch):
    monkeypatch.setattr(designs, "cover_triples", lambda space: [space.usual])
    assert designs.triples_design_of(PORT) == [{"dtype": "float64", **space_of(PORT).usual}]


def test_accuracy_at_scale_is_asked_of_large_models(monkeypatch):
    assert SCALE == (64, 1024, 64, 512)
    monkeypatch.setattr("trigru.common.equality.checks.extremes.SCALE", (2, 30, 3, 8))
    shapes = []

    class Looks(PurePort):
        def apply(self, model, x, carry=None, **options):
            shapes.append((x.shape, str(x.dtype)))
            return super().apply(model, x, carry, **options)

    assert all(m.passed for m in verify([Looks()], checks=get_checks("scale")))
    assert set(shapes) == {((2, 30, 3), "float32"), ((2, 30, 3), "bfloat16")}

    class Rounds(PurePort):
        def apply(self, model, x, carry=None, **options):
            carry, outputs = super().apply(model, x, carry, **options)
            return carry, outputs + jnp.asarray(1e-5, outputs.dtype)

    assert not all(m.passed for m in verify([Rounds()], checks=get_checks("scale"), dtypes=["float32"]))


def test_what_is_thorough_is_not_usual():
    from trigru.common.equality.verification import usual_checks

    assert [check.name for check in THOROUGH] == ["triples", "random", "scale"]
    assert not set(THOROUGH) & set(usual_checks())

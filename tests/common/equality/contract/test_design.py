"""The rows that ports are asked cover what they are to cover, and keep the rules."""

import json
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import jax.numpy as jnp
import pytest
from trigru.common.equality.checks import get_checks
from trigru.common.equality.contract import designs, factors
from trigru.common.equality.contract.data import data_of
from trigru.common.equality.contract.designs import design_of
from trigru.common.equality.contract.factors import (
    SPACE,
    one_by_one,
    style_of,
    unusual,
    whole_row,
)
from trigru.common.equality.contract.failures import smallest
from trigru.common.equality.verification import Examiner
from trigru.common.errors import InputError
from trigru.common.port.styles import available_styles
from trigru.impls import get_port, own_ports
from trigru.impls.pure import PurePort

PURE = get_port("pure")


def can_be_had(space, row):
    """Whether some row that keeps every rule has these levels."""
    free = [factor for factor in space.factors if factor.name not in row]
    left = {
        f.name: [level for level in f.levels if space.allows(row | {f.name: level})]
        for f in free
    }
    if not left or not space.allows(row):
        return space.allows(row)
    name = min(
        left, key=lambda name: len(left[name])
    )  # that factor first which has the fewest levels left
    return any(can_be_had(space, row | {name: level}) for level in left[name])


@pytest.mark.parametrize(
    "space", [SPACE, factors.COARSE_SPACE], ids=["float64", "others"]
)
def test_a_design_covers_all_pairs_and_triples_that_can_be_had(space):
    """Else rows.json needs more rows, or another number of combinations."""
    rows = designs.designed_rows(space)
    assert all(map(space.allows, rows))
    every = {
        frozenset(
            (factor.name, level) for factor, level in zip(some, levels, strict=True)
        )
        for some in designs.combined(space)
        for levels in product(*(factor.levels for factor in some))
    }
    covered = designs.covered(space, rows)
    assert not [
        levels for levels in map(dict, every - covered) if can_be_had(space, levels)
    ]
    stored = json.loads(Path(designs.__file__).with_name("rows.json").read_text())
    assert (
        len(covered)
        == stored["float64" if space is SPACE else "others"]["combinations"]
    )


def test_the_rows_of_a_port_cover_all_that_can_be_had_also_of_fewer_rows(monkeypatch):
    rows = design_of(PURE)
    assert designs.coverage_of(rows) == (1731, 1731)
    monkeypatch.setattr(designs, "designed_rows", lambda space: [whole_row({})])
    assert designs.coverage_of(rows) == (1731, 1731)
    assert designs.coverage_of(design_of(PURE))[1] == 1731


def test_another_space_has_no_rows():
    with pytest.raises(
        InputError, match="rows are stored for SPACE and COARSE_SPACE alone"
    ):
        designs.designed_rows(factors.COARSE_SPACE._replace(only=None))


@pytest.mark.parametrize("name", own_ports())
def test_each_style_is_compiled_once_and_asked_in_each_phase(name):
    port = get_port(name)
    rows = design_of(port)
    compiled = [
        style_of(row, port) for row in rows if row["transform"] in ("compiled", "quick")
    ]
    assert sorted(map(str, compiled)) == sorted(
        s.name for s in port.call_styles if s.missing() is None
    )
    asked = {
        (style_of(row, port), row["phase"])
        for row in rows
        if row["transform"] not in factors.COMPILED
    }
    for phase in ("forward", "gradient", "train_step", "step"):
        for style in available_styles(port, phase):
            assert (style.name, phase) in asked


def test_rows_one_by_one_have_one_unusual_level_or_two():
    rows = one_by_one()
    assert {len(unusual(row)) for row in rows} == {0, 1, 2}
    levels = sum(
        len(factor.levels) - 1 for factor in SPACE.factors
    )  # of which a train step has no row without a style
    assert len(rows) == len({*map(str, rows)}) == 1 + levels - 1


def test_sets_of_values_differ_and_keep_the_parameters():
    data = data_of(
        whole_row({"lengths": "passed", "resets": "passed", "carry": "passed"})
    )
    assert len({a.tobytes() for a in data.x}) == len(data.values) > 4
    one = data.of_set(2)
    assert (one.x == data.x[2:3]).sum() + (one.x != one.x).sum() == one.x.size
    assert one.values == data.values[2:3]


def test_a_row_that_fails_is_made_as_small_as_it_can_be():
    def fails(row):
        assert SPACE.allows(row)
        return row["reverse"] == "yes" and row["entry"] == "chunks"

    least, trained = (
        {"reverse": "yes", "entry": "chunks"},
        {"phase": "train_step", "style": "donated"},
    )
    row = whole_row(
        {**least, "remat": "yes", "batch": "1", "time": "130", "dtype": "float32"}
    )
    assert unusual(smallest(row, SPACE, fails)) == least
    assert unusual(smallest(row | trained, SPACE, fails)) == least | trained, (
        "without its style, it would be no row"
    )


@pytest.mark.parametrize("phases", [(), ("step",), ("forward", "gradient")], ids=str)
def test_a_port_may_lack_a_style_for_a_phase(phases):
    """The others are called with arrays."""

    def build(style, *given):
        program = style.build(*given)
        return replace(
            program, call=lambda *arrays: program.call(*map(jnp.asarray, arrays))
        )

    some = [
        replace(
            style,
            build=partial(build, style),
            phases=tuple({*style.phases} & {*phases}),
        )
        for style in PURE.call_styles
    ]

    class Port(PurePort):
        call_styles = tuple(style for style in some if style.phases)

    rows = [
        row
        for row in design_of(Port())
        if row["style"] != "none" and row["transform"] not in factors.COMPILED
    ]
    examined = {row["phase"]: row for row in rows}
    for phase, row in examined.items():
        found = Examiner(shrink=False).ask(Port(), get_checks("contract")[0], row)
        assert found.offered == (phase in phases)
        assert found.passed == found.offered

"""The cases that ports are asked cover what they are to cover, and keep the rules."""

from dataclasses import replace
from functools import partial
from itertools import product

import jax.numpy as jnp
import pytest
from trigru.common.equality.checks import get_checks
from trigru.common.equality.contract.arrays import arrays_of
from trigru.common.equality.contract.cases import FLOAT32, Case
from trigru.common.equality.contract.design import (
    combined,
    coverage_of,
    covered,
    design_of,
    designed_cases,
)
from trigru.common.equality.contract.failures import smallest
from trigru.common.equality.contract.named import (
    COMPILED_WITH,
    OTHERS_COMPILED_WITH,
    style_of,
)
from trigru.common.equality.contract.space import COARSE_SPACE, SPACE, one_by_one
from trigru.common.equality.verification import Examiner
from trigru.common.errors import InputError
from trigru.common.port.names import LABELS, PHASES
from trigru.common.port.styles import available_styles
from trigru.impls import get_port, own_ports
from trigru.impls.pure import PurePort

PURE = get_port("pure")
(CONTRACT,) = get_checks("contract")


def can_be_had(space, levels):
    """Whether some case that keeps every rule has these levels, by field."""
    if not space.allows_levels(levels):
        return False
    left = {}
    for factor in space.factors:
        if factor.field not in levels:
            left[factor.field] = [
                level
                for level in factor.levels
                if space.allows_levels({**levels, factor.field: level})
            ]
    if not left:
        return True
    field = min(left, key=lambda field: len(left[field]))
    return any(can_be_had(space, {**levels, field: level}) for level in left[field])


def combinations_of(space):
    """All combinations of levels that are to meet, also those that cannot."""
    combinations = set()
    for factors in combined(space):
        for levels in product(*(factor.levels for factor in factors)):
            fields = [factor.field for factor in factors]
            combinations.add(frozenset(zip(fields, levels, strict=True)))
    return combinations


@pytest.mark.parametrize("space", [SPACE, COARSE_SPACE], ids=["float64", "others"])
def test_a_design_covers_all_pairs_and_triples_that_can_be_had(space):
    """Else rows.json needs more rows."""
    cases = designed_cases(space)
    assert all(space.allows(case) for case in cases)
    assert all(space.holds(case) for case in cases)
    missing = combinations_of(space) - covered(space, cases)
    assert [c for c in missing if can_be_had(space, dict(c))] == []


def test_the_cases_of_a_port_cover_all_that_can_be_had():
    """Else the numbers of combinations in rows.json are others."""
    count, total = coverage_of(design_of(PURE))
    assert count == total


def test_fewer_cases_cover_less_of_the_same():
    _, total = coverage_of(design_of(PURE))
    count, total_of_fewer = coverage_of(designed_cases(SPACE)[:3])
    assert 0 < count < total
    assert total_of_fewer == total


@pytest.mark.parametrize("name", own_ports())
def test_each_style_is_compiled_once(name):
    port = get_port(name)
    compiled = [
        str(style_of(case, port))
        for case in design_of(port)
        if case.run in ("compiled", "quick")
    ]
    installed = [s.name for s in port.call_styles if s.missing() is None]
    assert sorted(compiled) == sorted(installed)


@pytest.mark.parametrize("name", own_ports())
def test_each_style_is_evaluated_in_each_phase(name):
    port = get_port(name)
    asked = set()
    for case in design_of(port):
        if not case.is_compiled:
            asked.add((style_of(case, port), case.phase))
    for phase in PHASES:
        for style in available_styles(port, phase):
            assert (style.name, phase) in asked


@pytest.mark.parametrize("name", own_ports())
def test_each_style_has_a_row_that_says_with_which_case_it_is_compiled(name):
    styles = {style.name for style in get_port(name).call_styles}
    assert {style for port, style in COMPILED_WITH if port == name} == styles


def test_each_label_has_a_case_that_another_ports_style_is_compiled_with():
    assert list(OTHERS_COMPILED_WITH) == [*LABELS, None]


def test_cases_one_by_one_have_one_unusual_level_or_two():
    cases = one_by_one()
    assert {len(case.levels()) for case in cases} == {0, 1, 2}
    unusual_levels = sum(len(factor.levels) - 1 for factor in SPACE.factors)
    # a train step has no case without a style, and one case is all usual
    assert len(cases) == len({*cases}) == unusual_levels - 1 + 1


def test_a_case_is_read_from_its_levels():
    for case in design_of(PURE):
        assert Case.from_levels(case.levels()) == case


@pytest.mark.parametrize("levels", [{"no such": "yes"}, {"dtype": "float8"}])
def test_levels_that_no_case_has_are_refused(levels):
    with pytest.raises(InputError, match="expected"):
        Case.from_levels(levels)


def test_sets_of_values_differ_and_keep_the_parameters():
    arrays = arrays_of(Case(lengths=True, resets=True, carry="passed"))
    assert len({x.tobytes() for x in arrays.x}) == len(arrays.values) > 4
    third = arrays.of_set(2)
    is_same = (third.x == arrays.x[2:3]) | jnp.isnan(third.x)
    assert is_same.all()
    assert third.values == arrays.values[2:3]
    assert third.params is arrays.params


# A case that fails is made smaller

LEAST = Case(reverse=True, entry="chunks")
LARGE = replace(LEAST, remat=True, batch=(1,), time=130, dtypes=FLOAT32)


def fails(case):
    assert SPACE.allows(case)
    return case.reverse and case.entry == "chunks"


def test_a_case_that_fails_is_made_as_small_as_it_can_be():
    assert smallest(LARGE, SPACE, fails) == LEAST


def test_a_case_that_fails_keeps_what_makes_it_a_case():
    """A train step needs its style."""
    trained = {"phase": "train_step", "style": "donated"}
    least = replace(LEAST, **trained)
    assert smallest(replace(LARGE, **trained), SPACE, fails) == least


def test_no_case_is_made_smaller_after_a_while():
    times = iter([0.0, 0.0, 1000.0, 1000.0])
    case = smallest(LARGE, SPACE, fails, clock=lambda: next(times))
    assert case not in (LARGE, LEAST)


# A port that lacks styles


@pytest.mark.parametrize("phases", [(), ("step",), ("forward", "gradient")], ids=str)
def test_a_port_may_lack_a_style_for_a_phase(phases):
    """The others are called with arrays."""

    def build(style, *arguments):
        program = style.build(*arguments)

        def call(*arrays):
            return program.call(*map(jnp.asarray, arrays))

        return replace(program, call=call)

    styles = []
    for style in PURE.call_styles:
        kept = tuple({*style.phases} & {*phases})
        if kept:
            styles.append(replace(style, build=partial(build, style), phases=kept))

    class Port(PurePort):
        call_styles = tuple(styles)

    by_phase = {}
    for case in design_of(Port()):
        if case.style is not None and not case.is_compiled:
            by_phase[case.phase] = case
    for phase, case in by_phase.items():
        measurement = Examiner(shrink=False).ask(Port(), CONTRACT, case)
        assert measurement.offered == (phase in phases)
        assert measurement.passed == measurement.offered, measurement.problem

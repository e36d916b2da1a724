"""Rows that cover every pair of levels: counted from the rows, and held to a count of everything that can be had."""

import re
from itertools import combinations, product

import jax
import pytest
from trigru.common.equality.checks import get_checks
from trigru.common.equality.contract import designs, programs
from trigru.common.equality.contract.covering import combinations_of, cover, cover_pairs_with, covered
from trigru.common.equality.contract.data import data_of
from trigru.common.equality.contract.designs import coverage_of, design_of, is_kept
from trigru.common.equality.contract.factors import CAST, CHOICES, COARSE, FACTORS, Factor, Rule, Space, space_of
from trigru.common.equality.contract.shrinking import smallest, told, unusual, whole_row
from trigru.common.equality.verification import Examiner, questions
from trigru.common.errors import NotOfferedError
from trigru.common.port.protocol import WithKernel
from trigru.common.port.styles import shared_styles
from trigru.impls import get_port
from trigru.impls.faults import get_fault
from trigru.impls.pure import PurePort

SMALL = Space(
    (
        Factor("a", ("0", "1", "2"), in_triples=True),
        Factor("b", ("0", "1"), in_triples=True),
        Factor("c", ("0", "1"), in_triples=True),
        Factor("d", ("0", "1", "2", "3")),
    ),
    (
        Rule({"a": ("1",)}, {"b": ("0",)}, ""),
        Rule({"b": ("0",), "c": ("1",)}, {"d": ("0", "1")}, ""),
        Rule({"d": ("3",)}, {"c": ("1",)}, ""),
    ),
)


def everything(space):
    """All rows that keep the rules, by trying all."""
    names = [factor.name for factor in space.factors]
    rows = (dict(zip(names, levels, strict=True)) for levels in product(*(f.levels for f in space.factors)))
    keeps = {
        "1": lambda row: row["a"] != "1" or row["b"] == "0",
        "2": lambda row: (row["b"], row["c"]) != ("0", "1") or row["d"] in "01",
        "3": lambda row: row["d"] != "3" or row["c"] == "1",
    }
    return [row for row in rows if all(keep(row) for keep in keeps.values())]


def held(rows, names):
    return {tuple(row[name] for name in names) for row in rows}


@pytest.mark.parametrize("names", [*combinations("abcd", 2), ("a", "b", "c")])
def test_rows_hold_each_pair_and_triple_that_can_be_had(names):
    rows = cover(SMALL)
    assert all(row in everything(SMALL) for row in rows)
    assert held(rows, names) == held(everything(SMALL), names)
    assert len(rows) < len(everything(SMALL))


def test_combinations_are_those_of_all_rows():
    """(1, 3) of a and d cannot be completed, though no rule names both."""
    wanted = {
        frozenset(zip(names, levels, strict=True))
        for names in [*combinations("abcd", 2), "abc"]
        for levels in held(everything(SMALL), names)
    }
    assert combinations_of(SMALL) == wanted == covered(SMALL, everything(SMALL))
    assert frozenset({("a", "1"), ("d", "3")}) not in wanted


def test_pairs_with_one_factor_alone():
    rows = cover_pairs_with(SMALL, "d")
    for name in "abc":
        assert held(rows, (name, "d")) == held(everything(SMALL), (name, "d"))
    assert covered(SMALL, rows, "d") == combinations_of(SMALL, "d")


def test_triples_with_one_factor():
    rows = cover_pairs_with(SMALL, "d", ("a", "b"))
    assert held(rows, "abd") == held(everything(SMALL), "abd")
    assert covered(SMALL, rows, "d", ("a", "b")) == combinations_of(SMALL, "d", ("a", "b"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_the_rows_of_each_port_are_kept_allowed_and_cover_everything(port, kernel):
    """If this fails since factors changed: .venv/bin/python .ci/designs.py."""
    port = port if kernel == "stock" else WithKernel(port, kernel)
    assert is_kept(port)
    rows, space = design_of(port), space_of(port)
    coarse = space_of(port, coarse=True)
    assert all((space if row["dtype"] == "float64" else coarse).allows(row) for row in rows)
    held, of = coverage_of(port, rows)
    assert held == of == len(combinations_of(space)) + len(combinations_of(coarse, "dtype", CAST))
    assert ("choices" in rows[0]) == (kernel == "fused")


def test_what_was_not_run_is_not_counted():
    rows = design_of(get_port("pure"))
    held, of = coverage_of(get_port("pure"), [row for row in rows if row["hidden"] != "129"])
    assert held < of
    held, _ = coverage_of(get_port("pure"), [{**row, "dtype": "float32"} for row in rows])
    assert held < of / 2, "pairs need float64"


def test_another_port_gets_rows_of_its_own(monkeypatch):
    kept: dict[str, designs.Design] = {}

    class Mine(PurePort):
        call_styles = shared_styles(name="mine")[:1]

    monkeypatch.setattr(designs, "_found", lambda space: designs.Design(3, ("0" * len(space.factors),)))
    monkeypatch.setattr(designs, "_kept", lambda: kept)
    assert not is_kept(Mine())
    assert {row["style"] for row in design_of(Mine())} == {"none"}
    assert [name for factor in space_of(Mine()).factors if factor.name == "style" for name in factor.levels] == [
        "none",
        "mine",
    ]


def failing(fault, **without):
    """The first measurement by which a fault's rows notice it; of rows without some levels."""
    fault = get_fault(fault)
    asked = [
        question
        for question in questions([fault.port], ["float64"], get_checks("contract"))
        if fault.levels.items() <= {**question.row, **{k: fault.levels.get(k) for k in without}}.items()
        and all(question.row[name] != level for name, level in without.items())
    ]
    for question in asked[:4]:
        for measurement in Examiner().ask(question):
            if not measurement.passed:
                return measurement
    assert asked
    return None


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("fault", "factor", "level"),
    [
        ("after-32", "time", "130"),
        ("many-units", "hidden", "129"),
        ("uint8-lengths", "lengths dtype", "uint8"),
        ("remat-resets", "remat", "yes"),
    ],
)
def test_without_a_factors_level_its_fault_goes_unnoticed(fault, factor, level):
    noticed = failing(fault)
    assert noticed is not None
    assert noticed.levels[factor] == level
    assert failing(fault, **{factor: level}) is None


@pytest.mark.usefixtures("unchecked")
def test_a_failed_row_is_told_by_the_levels_without_which_it_passes():
    found = failing("reverse-unrolled")
    assert (found.check, found.levels) == ("reverse+unroll", {"reverse": "yes", "unroll": "not dividing"})
    assert "pure: reverse+unroll: " in str(found)
    assert "; with reverse=yes, unroll=not dividing, all else as usual; without one of them it passes" in str(found)


def test_a_row_shrinks_to_what_it_needs():
    space = space_of(get_port("pure"))
    row = next(r for r in design_of(get_port("pure")) if r["lengths"] == "passed" and r["time"] == "130")
    small = smallest(row, space, lambda r: r["lengths"] == "passed" and r["time"] == "130")
    assert unusual(small) == {"lengths": "passed", "time": "130"}
    assert told(unusual(small)) == "lengths+time"
    assert unusual(smallest(row, space, lambda r: True)) == {}
    assert told({}) == "sequence"
    assert whole_row({}) == {**space.usual, "dtype": "float64"}


def test_each_choice_of_the_fused_kernel_makes_another_program(monkeypatch):
    """Where it did not, a pair of levels would be counted of which one is not there."""
    port = WithKernel(get_port("pure"), "fused")
    chosen = [r for r in design_of(port) if r["choices"] != "default" and r["dtype"] == "float64"]
    assert len(chosen) > 30

    def program(row):
        texts = []

        def traced(function):
            def call(*arguments):
                text = jax.jit(function).trace(*arguments).jaxpr.pretty_print(name_stack=False)
                texts.append(re.sub(r"0x[0-9a-f]+", "", text))
                raise InterruptedError

            return call

        monkeypatch.setattr(programs, "jit", traced)
        with jax.enable_x64(True), pytest.raises(InterruptedError):
            programs.program_of(row, port, "float64")(data_of(row, "float64"))
        return texts

    for row in chosen:
        small = {**row, "inputs": "5", "hidden": "6", "transform": "jit", "arrays": "device", "style": "none"}
        small["phase"] = "gradient" if row["phase"] == "train_step" else row["phase"]
        assert program(small) != program({**small, "choices": "default"}), row


def test_masks_of_a_coarse_dtype_have_steps_to_show_in(port):
    for kernel in ("stock", "fused"):
        rows = design_of(port if kernel == "stock" else WithKernel(port, kernel))
        for dtype in COARSE:
            of_dtype = [row for row in rows if row["dtype"] == dtype]
            for name, level in (("lengths", "passed"), ("resets", "passed"), ("reverse", "yes")):
                some = [row for row in of_dtype if row[name] == level]
                assert {row["time"] for row in some} <= {"17", "130"}
                assert {row["entry"] for row in some} >= {"whole", "chunks"}
            of_64_bits = [row["arrays"] for row in of_dtype if row["lengths dtype"] == "int64"]
            assert of_64_bits
            assert set(of_64_bits) <= {"numpy", "strided"}


def test_every_rule_says_why_and_names_what_there_is():
    levels = {factor.name: set(factor.levels) for factor in FACTORS} | {"choices": set(CHOICES)}
    for rule in space_of(WithKernel(get_port("nnx"), "fused"), coarse=True).rules:
        for name, some in {**rule.when, **rule.then}.items():
            assert set(some) <= levels.get(name, set(some))
        assert rule.why


@pytest.mark.usefixtures("unchecked")
def test_a_failure_is_no_row_that_is_not_offered():
    """The usual row asks for a gradient, so that every failed row could be made smaller to one that has none."""

    class NoGradient(PurePort):
        def value_and_grad(self, function, *, has_aux=False):
            raise NotOfferedError("no gradient here")

        def apply(self, model, x, carry=None, **options):
            carry, outputs = super().apply(model, x, carry, **options)
            return carry, 2 * outputs

    port, examiner = NoGradient(), Examiner()
    asked = questions([port], ["float64"], get_checks("contract"))
    kinds = [("gradient", "no"), ("forward", "no"), ("gradient", "yes"), ("forward", "yes")]
    found = [
        examiner.ask(next(q for q in asked if (q.row["phase"], q.row["reverse"], q.style) == (*kind, None)))[0]
        for kind in kinds
    ]
    assert [(m.passed, m.offered) for m in found] == [(False, False), (False, True)] * 2
    assert [m.levels for m in found if m.offered] == [{"phase": "forward"}] * 2
    assert [m.check for m in found] == ["contract", "inference"] * 2

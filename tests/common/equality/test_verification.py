"""Every port passes every check, and the errors are measured as documented."""

import itertools
import re
import time
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trigru.common.equality import oracle
from trigru.common.equality.bounds import accuracy_bound, relative_error
from trigru.common.equality.cases import Case
from trigru.common.equality.checks import CHECKS, DTYPES, Check, get_checks
from trigru.common.equality.checks.extremes import WIDE
from trigru.common.equality.checks.refusals import GOOD_APPLY
from trigru.common.equality.oracle_training import trajectory
from trigru.common.equality.verification import Measurement, assert_equivalent, verify
from trigru.common.errors import InputError, UnknownNameError
from trigru.common.port.protocol import CallStyle, WithKernel
from trigru.common.port.styles import functional_program
from trigru.common.port.task import Batch
from trigru.impls import get_port
from trigru.impls.pure import PurePort

#: Rows of a design are asked in contract/test_ports.py.
ONE_BY_ONE = [check for check in CHECKS if check.rows is None]


@pytest.mark.usefixtures("optimized", "unchecked_where_refused")
@pytest.mark.parametrize("check", ONE_BY_ONE, ids=lambda check: check.name)
def test_every_port_passes(port, check):
    assert_equivalent(port, checks=[check])


@pytest.mark.usefixtures("unchecked_where_refused")
@pytest.mark.parametrize("check", ONE_BY_ONE, ids=lambda check: check.name)
def test_every_port_passes_with_the_fused_kernel(port, check):
    """The first question, where it is asked; the second is asked of the kernel in test_fused.py."""
    dtypes = ["float64"] if "float64" in check.dtypes else check.dtypes
    assert_equivalent(WithKernel(port, "fused"), checks=[check], dtypes=dtypes)


def test_errors_are_relative_to_the_largest_reference_magnitude():
    assert relative_error([1.0, 10.1], [1.0, 10.0]) == pytest.approx(0.01)
    assert relative_error([0.5], [0.0]) == 0.5
    assert np.isnan(relative_error([np.nan], [1.0]))


def test_the_accuracy_bound_is_four_times_numpys_error_and_four_ulps():
    eps = float(np.finfo("f4").eps)
    assert accuracy_bound([1.0], [1.0], "float32") == 4 * eps
    assert accuracy_bound([1.01], [1.0], "float32") == pytest.approx(0.04 + 4 * eps)


def test_a_case_has_the_lengths_that_matter():
    case = Case.random(4, 7, 2, 3)
    assert case.lengths[0] == 0
    assert case.lengths[1] == 7
    assert case.resets.any()
    assert not case.resets.all()


def test_widening_keeps_values_and_the_question():
    case = Case.random(2, 3, 2, 2).astype("float32")
    wide = case.widened()
    assert wide.x.dtype == "float64"
    assert wide.asked_in == "float32"
    np.testing.assert_array_equal(wide.x, case.x)


def test_iterators_are_checked_whole():
    names = ("conversion", "sequence")
    listed = verify([get_port("pure")], checks=get_checks(*names))
    iterated = verify((p for p in [get_port("pure")]), checks=iter(get_checks(*names)), dtypes=iter(DTYPES))
    assert [str(m) for m in iterated] == [str(m) for m in listed]
    assert {m.check for m in iterated} == set(names)


def test_a_dtype_without_a_question_is_refused():
    with pytest.raises(UnknownNameError, match="unknown dtype 'float8'. Known: float64, float32, bfloat16, float16"):
        verify([get_port("pure")], dtypes=["float8"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ports": "linen"}, "ports: got 'linen', expected a sequence of them"),
        ({"ports": ["linen"]}, r"port 'linen' is none. A port by name is trigru.impls.get_port\('linen'\)"),
        ({"ports": None}, "ports: got None, expected a sequence"),
        (
            {"ports": [SimpleNamespace(name="mine", call_styles=())]},
            "port mine lacks title, .* and value_and_grad, which",
        ),
        ({"checks": "sequence"}, "checks: got 'sequence', expected a sequence of them"),
        ({"checks": ["sequence"]}, r"check 'sequence' is none. Checks by name are trigru.common.get_checks"),
        ({"checks": []}, "there is no check to ask"),
        ({"dtypes": "float32"}, "dtypes: got 'float32', expected a sequence of them"),
    ],
)
def test_what_is_none_is_said(unchecked, arguments, said):
    with pytest.raises(InputError, match=said):
        verify(**{"ports": [get_port("pure")], "dtypes": ["float32"], "checks": get_checks("sequence")} | arguments)


def test_one_sequence_has_a_length_that_counts():
    assert all(Case.random(1, 5, 2, 2, seed=seed).lengths[0] >= 1 for seed in range(20))


PARAMS = {"weight_ih", "weight_hh", "bias", "bias_n", "initial_carry"}
GRADIENTS = {f"d {name}" for name in PARAMS}
SEQUENCE = {"carry", "outputs", "d x"} | GRADIENTS
TRAINING = {"losses"} | {f"Δ {name}" for name in PARAMS}
READOUT = {"readout.weight", "readout.bias"}
LEARNED, PASSED = SEQUENCE, SEQUENCE | {"d carry"}
RESULTS, ENTRIES = ("carry", "outputs"), ("a sequence", "step by step")


def labelled(*labels):
    return {f"{label}: {quantity}" for label in labels for quantity in ("carry", "outputs")}


#: What each check compares: a quantity that went missing would be a check that got weaker.
QUANTITIES = {
    "conversion": PARAMS | READOUT,
    "sequence": LEARNED,
    "golden": LEARNED,
    "carry": PASSED,
    "chunks": LEARNED,
    "step": LEARNED,
    "lengths": LEARNED,
    "resets": LEARNED,
    "masks": PASSED,
    "reverse": LEARNED,
    "batch-axes": PASSED,
    "time-major": PASSED,
    "unroll": LEARNED,
    "remat": LEARNED,
    "inference": labelled("plain", "masked", "reverse"),
    "eager": labelled("plain", "passed"),
    "vmap": PASSED,
    "export": LEARNED,
    "jvp": {"carry", "outputs"},
    "hvp": {"x"} | PARAMS | {f"penalty {name}" for name in PARAMS},
    "dtype": LEARNED,
    "param-dtype": LEARNED,
    "forward": {"carry", "outputs"},
    "training": TRAINING,
    "sgd": TRAINING,
    "adamw": TRAINING,
    "carry-rate": TRAINING,
    "step-reset": PASSED,
    "start": LEARNED,
    "classifier": TRAINING | {f"Δ {name}" for name in READOUT},
    "life": {
        f"{kind}: {quantity}"
        for kind in ("GRU", "classifier")
        for quantity in ("loaded", "other parameters", "another batch size")
    },
    "draws": {"recurrent gates, times their transposes", "biases", "the readout's bias"},
    "refusals": labelled(*GOOD_APPLY, "step")
    | {"classify: logits", "lengths beyond 32 bits: carry", "lengths beyond 32 bits: logits"},
    "memory": {"defects"},
    "long": LEARNED,
    "long-reverse": PASSED,
    "faint": LEARNED,
    "closed": LEARNED,
    "counted": {"carry", "ends in bfloat16", "ends in float16"},
    "symbolic": {"carry", "outputs"} | GRADIENTS,
    "mesh": {"defects"} | {f"{way}: {name}" for way in ("explicit axes", "shard_map") for name in PASSED},
    "per-example": GRADIENTS,
    "frozen": GRADIENTS,
    "promotion": {f"{what} of {by}, wide {wide}" for what, by, wide in itertools.product(RESULTS, ENTRIES, WIDE)},
    "held": {"carry, what is not finite", "outputs"},
    "exchange": {
        f"{kind}, {what}: {name}"
        for kind, whats, names in (
            ("GRU", ("canonical", "torch", "torch, two biases", "a file"), PARAMS),
            ("classifier", ("canonical", "torch", "torch, two biases"), PARAMS | READOUT),
        )
        for what in whats
        for name in names
    },
}


@pytest.mark.parametrize("check", ONE_BY_ONE, ids=lambda check: check.name)
def test_every_check_compares_these_quantities(check):
    expected = check.expect(Case.random(2, 4, 3, 2))
    assert set(expected) == QUANTITIES[check.name]
    if "losses" in expected:
        assert expected["losses"].shape == (20,)


def answering(**changes):
    """A check of one quantity whose answer can be bent."""
    right = np.arange(1.0, 7.0).reshape(2, 3)

    def answer(port, case, style):
        return {"a": changes.get("a", lambda a: a)(right.astype(case.dtype))} if changes.get("a") is not None else {}

    exact = changes.get("exact", False)
    return Check("bent", "", answer, lambda case: {"a": right.astype(case.dtype)}, exact=exact, dtypes=DTYPES)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (None, r"nothing, expected shape \(2, 3\)"),
        (lambda a: a[:1], r"shape \(1, 3\), expected shape \(2, 3\)"),
        (lambda a: a.astype("float16"), "dtype float16, expected float64"),
        (lambda a: a + 1e-9, "error"),
        (lambda a: np.where(a == 2, np.nan, a), "values that are not finite"),
    ],
)
def test_an_answer_that_is_off_fails(change, problem):
    (found,) = verify([get_port("pure")], checks=[answering(a=change)], dtypes=["float64"])
    assert not found.passed
    assert re.search(problem, str(found))


def test_an_exact_check_asks_for_the_bits():
    def negative_zero(a):
        return np.copysign(a, -1) * 0 if (a == 0).all() else a * (1 + np.finfo(a.dtype).eps)

    for dtype in DTYPES:
        (found,) = verify([get_port("pure")], checks=[answering(a=negative_zero, exact=True)], dtypes=[dtype])
        assert not found.passed
    assert not Measurement("p", "c", None, "q", "float64", 0.0, 0.0, problem="bits differ").passed


def test_both_questions_are_asked_of_every_case_in_the_right_precision():
    asked, expected = [], []

    def answer(port, case, style):
        asked.append((case.dtype, case.x.shape, jax.config.jax_default_matmul_precision))
        return {"a": np.ones(1, case.dtype)}

    def expect(case):
        expected.append((case.asked_in, case.dtype))
        return {"a": np.ones(1, case.dtype)}

    cases = [Case.random(2, 3, 2, 2), Case.random(1, 5, 2, 2)]
    spy = Check("spy", "", answer, expect, dtypes=("float64", "float32"))
    found = verify([get_port("pure")], checks=[spy], cases=cases)
    assert len(found) == 4
    assert sorted(a[0] for a in asked) == ["float32", "float32", "float64", "float64"]
    assert [m.dtype for m in found] == ["float64", "float64", "float32", "float32"]
    assert {a[1] for a in asked} == {(2, 3, 2), (1, 5, 2)}
    assert {a[2] for a in asked} == {"highest"}
    assert set(expected) == {("float64", "float64"), ("float32", "float64"), ("float32", "float32")}


def test_a_style_that_is_missing_is_not_asked():
    class Old(PurePort):
        call_styles = (*PurePort.call_styles, CallStyle("new", "", functional_program, lambda: "too old"))

    found = verify([Old()], checks=get_checks("forward"))
    assert {m.style for m in found} == {"jit", "leaves"}


def test_cases_hide_nothing():
    case = Case.random(3, 7, 5, 6)
    for array in (case.x, case.carry, case.targets, case.d_carry):
        assert array.all()


def test_in_float64_every_entry_counts_alike_and_elsewhere_by_its_gradient():
    case = Case.random(2, 4, 3, 2)
    batch = Batch(case.x, case.targets)
    with jax.enable_x64(True):
        plain = trajectory(case.params.gru, batch, optax.adam(1e-2), 3, weighted=False)
        weighted = trajectory(case.params.gru, batch, optax.adam(1e-2), 3, weighted=True)
    assert all((w == 1).all() for w in plain.weights.values())
    _, gradient = oracle.sequence_loss(case.params.gru, batch.x, batch.targets)
    for name, g in gradient._asdict().items():
        np.testing.assert_allclose(weighted.weights[name], np.abs(g) / np.abs(g).max())
        moved = getattr(plain.end, name) - getattr(case.params.gru, name)
        np.testing.assert_array_equal(plain.answers()[f"Δ {name}"], moved)
        assert 1e-3 < np.abs(moved).max() < 0.1


def test_the_second_question_is_asked_of_the_first_style_alone():
    found = verify([get_port("equinox")], checks=get_checks("training"))
    assert {(m.style, m.dtype) for m in found} == {
        ("filter_jit", "float64"),
        ("partition", "float64"),
        ("leaves", "float64"),
        ("donated", "float64"),
        ("filter_jit", "float32"),
    }


def answers(dtype):
    """A check whose answers are ones in a dtype."""
    return Check("ones", "", lambda *_: {"a": np.ones(3, dtype)}, lambda case: {"a": np.ones(3, dtype)}, dtypes=DTYPES)


def test_the_bound_counts_units_of_the_coarsest_dtype():
    (found,) = verify([get_port("pure")], checks=[answers(jnp.bfloat16)], dtypes=["float32"])
    assert found.bound == 4 * float(jnp.finfo("bfloat16").eps)
    coarse = replace(answers("float32"), computed_in="bfloat16")
    (found,) = verify([get_port("pure")], checks=[coarse], dtypes=["float32"])
    assert found.bound == 4 * float(jnp.finfo("bfloat16").eps)
    (found,) = verify([get_port("pure")], checks=[answers("float32")], dtypes=["float32"])
    assert found.bound == 4 * float(np.finfo("f4").eps)


def test_cases_of_different_shapes_have_answers_of_their_own():
    cases = [Case.random(2, 4, 3, 2), Case.random(1, 6, 2, 5, seed=3)]
    assert_equivalent(get_port("pure"), checks=get_checks("sequence"), cases=cases)


def test_progress_counts_what_is_done():
    told = []
    ports = [get_port("pure")]
    verify(ports, checks=[answers("float64")] * 3, progress=lambda *row: told.append(row))
    assert told == [(done, 12, "pure ones") for done in range(12)]


def test_an_interrupt_stops_what_has_not_begun():
    begun = []

    def answer(*_):
        begun.append(1)
        time.sleep(0.05)
        return {"a": np.ones(1)}

    def interrupted(*_):
        raise KeyboardInterrupt

    slow = Check("slow", "", answer, lambda case: {"a": np.ones(1)})
    with pytest.raises(KeyboardInterrupt):
        verify([get_port("pure")], checks=[slow] * 40, progress=interrupted)
    time.sleep(0.3)
    assert len(begun) < 10


def test_a_problem_is_one_line():
    class Breaks(PurePort):
        def load(self, config, params):
            raise RuntimeError(f"first{'.' * 5000}\nsecond")

    (found,) = verify([Breaks()], checks=get_checks("carry"))
    assert found.problem.startswith("RuntimeError: first...")
    assert len(found.problem) < 200

"""Ports pass the checks, each check notices a fault, and what fails is told in a way that leads to it."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.equality.bounds import accuracy_bound, relative_error
from trigru.common.equality.cases import Case
from trigru.common.equality.checks import CHECKS, Check, get_checks
from trigru.common.equality.contract.script import script_of
from trigru.common.equality.verification import Examiner, Question, assert_equivalent, questions, verify
from trigru.common.errors import DefectError, InputError, NotOfferedError, UnknownNameError
from trigru.common.port.protocol import WithKernel
from trigru.impls import faults, get_port
from trigru.impls.pure import PurePort

PURE = get_port("pure")


def rows_of(check, port):
    return [question for question in questions([port], ["float64", "float32"], [check]) if not question.compiled]


def test_every_check_has_a_fault():
    known = {fault.check for fault in faults.FAULTS}
    without = {"contract", "golden"}  # whose rows other checks select; of oracle and port together
    assert {check.name for check in CHECKS} - known == without


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
    assert set(case.lengths[:2].tolist()) == {0, 7}
    assert 0 < case.resets.sum() < case.resets.size
    assert all(Case.random(1, 5, 2, 2, seed=seed).lengths[0] >= 1 for seed in range(20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ports": "linen"}, "ports: got 'linen', expected a sequence of them"),
        ({"ports": ["linen"]}, r"port 'linen' is none. A port by name is trigru.impls.get_port\('linen'\)"),
        ({"ports": None}, "ports: got None, expected a sequence"),
        (
            {"ports": [SimpleNamespace(name="mine", call_styles=())]},
            "port mine lacks title, .* and value_and_grad, which",
        ),
        ({"checks": "life"}, "checks: got 'life', expected a sequence of them"),
        ({"checks": ["life"]}, r"check 'life' is none. Checks by name are trigru.common.get_checks"),
        ({"checks": []}, "there is no check to ask"),
        ({"dtypes": "float32"}, "dtypes: got 'float32', expected a sequence of them"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(unchecked, arguments, message):
    with pytest.raises(InputError, match=message):
        verify(**{"ports": [PURE], "dtypes": ["float32"], "checks": get_checks("life")} | arguments)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="unknown dtype 'float8'. Known: float64, float32, bfloat16, float16"):
        verify([PURE], dtypes=["float8"])
    with pytest.raises(UnknownNameError, match="unknown check 'no-such'. Known: contract, conversion"):
        get_checks("no-such")


def test_a_row_stands_beside_that_of_the_other_ports():
    asked = questions([PURE, get_port("equinox")], ["float64"], get_checks("chunks"))
    assert [q.port.name for q in asked[:4]] == ["pure", "equinox", "pure", "equinox"]
    assert asked[0].row == asked[1].row


def fails(change):
    """A port whose call goes through a change of (carry, outputs)."""

    class Faulty(PurePort):
        def apply(self, model, x, carry=None, **options):
            return change(model, *super().apply(model, x, carry, **options), **options)

    return Faulty()


def test_a_failed_row_is_told_by_the_fewest_levels_with_which_it_fails():
    def backwards_in_float32(model, carry, outputs, *, reverse=False, **_):
        return carry, outputs * (1 + 1e-3) if reverse and outputs.dtype == jnp.float32 else outputs

    port = fails(backwards_in_float32)
    rows = [q for q in rows_of(get_checks("contract")[0], port) if q.row and q.row["reverse"] == "yes"]
    examiner = Examiner()
    failed, *_ = [m for q in rows if q.dtype == "float32" for m in examiner.ask(q) if not m.passed]
    assert failed.levels is not None
    assert failed.levels["reverse"] == "yes"
    assert failed.levels["dtype"].startswith("float32")
    assert len(failed.levels) <= 3
    assert {"dtype", "reverse"} <= set(failed.check.split("+"))
    assert "all else as usual; without one of them it passes" in str(failed)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda model, carry, outputs, **_: (carry, outputs[..., :-1]),
            r"shape \(3, 17, 5\), expected shape \(3, 17, 6\)",
        ),
        (lambda model, carry, outputs, **_: (carry.astype("float32"), outputs), "dtype float32, expected float64"),
        (lambda model, carry, outputs, **_: (carry, outputs * jnp.nan), "values that are not finite"),
        (lambda model, carry, outputs, **_: (carry,), "not enough values to unpack"),
        (lambda model, *_, **__: model.no_such_field, "AttributeError: 'Model' object has no attribute"),
    ],
)
def test_what_cannot_be_compared_has_failed(change, problem):
    check = replace(get_checks("singly")[0], rows=lambda port: [USUAL])
    (found,) = verify([fails(change)], checks=[check], dtypes=["float64"])
    assert not found.passed
    assert found.error is None
    assert re.search(problem, str(found.problem))


USUAL = get_checks("singly")[0].rows(PURE)[0] | {"phase": "forward"}  # pyright: ignore[reportOptionalCall]


@pytest.mark.parametrize(
    ("error", "quantity", "offered"),
    [
        (NotOfferedError("no such thing"), "call", False),
        (DefectError("it leaks"), "defect", True),
        (KeyError("x"), "call", True),
    ],
)
def test_a_check_that_raises_has_failed(error, quantity, offered):
    def answer(port):
        raise error

    (found,) = Examiner().ask(Question(PURE, Check("made up", "", answer, lambda: {"a": np.ones(2)})))
    assert (found.quantity, found.offered, found.passed) == (quantity, offered, False)


def test_quantities_that_are_missing_or_differ_have_failed():
    expected = {"a": np.ones(2), "b": np.ones(2), "c": np.ones(2), "d": np.ones(2)}
    given = {"a": np.ones(2), "b": 1 + 1e-11 * np.ones(2), "c": np.ones(3)}
    check = Check("made up", "", lambda port: given, lambda: expected)
    assert [m.passed for m in Examiner().ask(Question(PURE, check))] == [True, False, False, False]
    bits = {"a": np.zeros(2)}
    exact = Check("made up", "", lambda port: {"a": -bits["a"]}, lambda: bits, exact=True)
    (found,) = Examiner().ask(Question(PURE, exact))
    assert found.problem == "bits differ"


def test_assert_equivalent_names_what_differs():
    port = fails(lambda model, carry, outputs, **_: (carry, outputs * 1.5))
    with pytest.raises(AssertionError, match=r"not equivalent to the oracle:\npure: sequence: .* in float64: error 6"):
        assert_equivalent(port, checks=get_checks("long"), dtypes=["float64"])
    with pytest.raises(AssertionError, match="nothing was measured"):
        assert_equivalent(PURE, checks=get_checks("long"), dtypes=["bfloat16"])


def test_a_kernel_is_part_of_a_measurement():
    port = WithKernel(PURE, "fused")
    check = replace(get_checks("singly")[0], rows=lambda port: [USUAL])
    (found,) = verify([port], checks=[check], dtypes=["float64"])
    assert (found.kernel, found.passed) == ("fused", True)
    assert str(found).startswith("pure:fused: ")


@pytest.mark.parametrize(
    "levels", [{"phase": "forward"}, {"lengths": "passed", "dtype": "float32"}, {"style": "leaves"}]
)
def test_a_script_runs_a_failed_row_alone(levels, capsys, unchecked):
    check = replace(get_checks("singly")[0], rows=lambda port: [USUAL | {"phase": "gradient"} | levels])
    (found,) = verify([PURE], checks=[check], dtypes=["float64", "float32"])
    before = jax.config.values["jax_enable_x64"], jax.config.values["jax_default_matmul_precision"]
    try:
        exec(compile(script_of(found), "script", "exec"), {})
    finally:
        jax.config.update("jax_enable_x64", before[0])
        jax.config.update("jax_default_matmul_precision", before[1])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert all(re.fullmatch(r".+: largest difference \d.*e[-+]\d+, largest value \d.*", line) for line in lines)


def test_a_row_that_fails_says_where_its_program_parts_from_plain_jax():
    class Wrong(PurePort):
        name = "wrong"

        def apply(self, model, x, carry=None, **options):
            carry, outputs = super().apply(model, x, carry, **options)
            return carry, jnp.tanh(outputs)  # here

    (question,) = questions(
        [Wrong()], ["float64"], [replace(get_checks("singly")[0], rows=lambda port: [USUAL], by_levels=False)]
    )
    (measurement,) = Examiner(reference=PURE).ask(question)
    assert not measurement.passed
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = (number for number, text in enumerate(source, 1) if text.endswith("jnp.tanh(outputs)  # here"))
    assert f"equality/test_verification.py:{line} (tanh of shape" in str(measurement)

"""Each check notices a fault, and what fails is told in a way that leads to it."""

import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.bench.proving.locating import parting_from
from trigru.common.equality.checks import get_checks
from trigru.common.equality.contract import expected, training
from trigru.common.equality.contract.cases import FLOAT32, Case
from trigru.common.equality.contract.failures import script_of
from trigru.common.equality.measurement import relative_error
from trigru.common.equality.verification import (
    Examiner,
    assert_equivalent,
    questions,
    verify,
)
from trigru.common.errors import TrigruError, UnknownNameError
from trigru.common.gru import optimizers
from trigru.common.port.protocol import CallStyle, WithKernel
from trigru.common.port.styles import functional_program
from trigru.impls import get_port
from trigru.impls.pure import PurePort

PURE = get_port("pure")
SINGLY, CONTRACT, LIFE, LONG = get_checks("singly", "contract", "life", "long")
FORWARD = Case(phase="forward")


def measure(port, case, **options):
    """The measurement of one case, as it is."""
    return Examiner(shrink=False, **options).ask(port, CONTRACT, case)


def changed(change):
    """A port whose call goes through a change of (carry, outputs)."""

    class Changed(PurePort):
        name = "faulty"

        def apply(self, model, x, carry=None, **options):
            results = super().apply(model, x, carry, **options)
            return change(model, *results, **options)

    return Changed()


def test_errors_are_relative_to_the_largest_reference_magnitude():
    assert relative_error([1.0, 10.1], [1.0, 10.0]) == pytest.approx(0.01)
    assert relative_error([0.5], [0.0]) == 0.5
    assert np.isnan(relative_error([np.nan], [1.0]))


# What is asked

BAD_ARGUMENTS = {
    "ports: got 'linen', expected a sequence of them": {"ports": "linen"},
    r"port 'linen' is none. A port by name is trigru.impls.get_port\('linen'\)": {
        "ports": ["linen"]
    },
    "port object lacks name, title, .* and value_and_grad, which": {
        "ports": [object()]
    },
    r"check 'life' is none. Checks by name are trigru.common.get_checks": {
        "checks": ["life"]
    },
    "there is no check to ask": {"checks": []},
    "unknown dtype 'float8'. Known: float64, float32, bfloat16, float16": {
        "dtypes": ["float8"]
    },
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_an_argument_that_does_not_fit_is_refused(unchecked, message):
    arguments = {"ports": [PURE], "dtypes": ["float32"], "checks": [LIFE]}
    with pytest.raises(TrigruError, match=message):
        verify(**arguments | BAD_ARGUMENTS[message])


def test_an_unknown_check_is_refused():
    message = "unknown check 'no-such'. Known: contract, conversion"
    with pytest.raises(UnknownNameError, match=message):
        get_checks("no-such")


def test_a_case_stands_beside_that_of_the_other_ports():
    asked = questions([PURE, get_port("equinox")], ["float64"], get_checks("chunks"))
    names = [port.name for port, *_ in asked[:4]]
    assert names == ["pure", "equinox", "pure", "equinox"]
    assert asked[0][2] == asked[1][2]


# What is noticed


def test_remat_that_is_lost_where_all_steps_are_unrolled_is_noticed():
    class Dropping(PurePort):
        def apply(self, model, x, carry=None, **options):
            if model.unroll >= x.shape[-2]:
                model = replace(model, remat=False)
            return super().apply(model, x, carry, **options)

    case = Case(phase="forward", time=2, unroll="beyond", remat=True)
    measurement = measure(Dropping(), case)
    assert "remat is lost" in str(measurement)
    assert measurement.check == "contract", "not that of the smallest case"


def drop_unit(_, carry, outputs, **__):
    return carry, outputs[..., :-1]


def narrow_carry(_, carry, outputs, **__):
    return carry.astype("float32"), outputs


def spoil_outputs(_, carry, outputs, **__):
    return carry, outputs * jnp.nan


def read_no_such_field(model, *_, **__):
    return model.no_such_field


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (drop_unit, r"float64\(3, 17, 5\), expected float64\(3, 17, 6"),
        (narrow_carry, r"float32\(3, 6\), expected float64"),
        (spoil_outputs, "values that are not finite"),
        (read_no_such_field, "AttributeError: 'Model' object has no attribute"),
    ],
)
def test_what_cannot_be_compared_has_failed(change, problem):
    measurement = measure(changed(change), FORWARD)
    assert not measurement.passed
    assert measurement.error is None
    assert re.search(problem, str(measurement.problem))


@pytest.mark.parametrize("is_right", [True, False])
def test_the_oracle_does_not_train_with_the_function_that_it_checks(
    is_right, monkeypatch
):
    jax.clear_caches()
    expected._expected_of.cache_clear()
    training._traced.cache_clear()
    ends_in = optimizers._ends_in

    def replaced(path, name):
        return ends_in(path, name) == is_right

    monkeypatch.setattr(optimizers, "_ends_in", replaced)
    (check,) = get_checks("training")
    for case in check.cases(PURE):
        if case.optimizer == "carry rate":
            break
    measurement = measure(PURE, case)
    assert measurement.passed == is_right, measurement.problem


def test_a_port_is_passed_to_call_styles_as_it_is():
    """But for `dump`: it is hashable, no property is read that a style does not read, and delegated names are there."""

    class Port(PurePort):
        costly = property(lambda self: pytest.fail("a property was read"))

        def __getattr__(self, name):
            return getattr(PURE, name.removeprefix("my_"))

        def build(self, model, task):
            assert hash(self) is not None
            assert self.my_name == "pure"
            return functional_program(self, model, task)

        call_styles = (CallStyle("own", "", build),)

    measurement = measure(Port(), replace(FORWARD, style="leaves"))
    assert measurement.passed, measurement.problem


def test_a_kernel_is_part_of_a_measurement():
    measurement = measure(WithKernel(PURE, "fused"), FORWARD)
    assert (measurement.kernel, measurement.passed) == ("fused", True)
    assert str(measurement).startswith("pure:fused: ")


# What is said of what fails


def test_assert_equivalent_names_what_differs():
    port = changed(lambda model, carry, outputs, **_: (carry, outputs * 1.5))
    check = replace(CONTRACT, cases=lambda port: [Case()])
    message = r"not equivalent to the oracle:\nfaulty: sequence: .* in float64: error"
    with pytest.raises(AssertionError, match=message):
        assert_equivalent(port, checks=[check], dtypes=["float64"])
    with pytest.raises(AssertionError, match="nothing was measured"):
        assert_equivalent(PURE, checks=[LIFE], dtypes=["bfloat16"])


def test_a_case_that_fails_once_has_failed():
    class Once(PurePort):
        calls = 0

        def apply(self, *arguments, **options):
            self.calls += 1
            if self.calls == 1:
                raise MemoryError("for the moment")
            return super().apply(*arguments, **options)

    measurement = Examiner().ask(Once(), CONTRACT, Case())
    assert measurement.problem == "MemoryError: for the moment"
    assert measurement.check == "sequence"


def test_a_case_that_fails_is_told_by_the_fewest_levels_and_where_it_parts():
    def change(model, carry, outputs, *, reverse=False, **_):
        return carry, jnp.tanh(outputs) if reverse else outputs  # here

    def locate(case, port):
        return parting_from(PURE, case, port)

    case = replace(FORWARD, reverse=True, remat=True, batch=(1,))
    measurement = Examiner(locate=locate).ask(changed(change), CONTRACT, case)
    assert not measurement.passed
    assert measurement.levels == {"reverse": "yes"}
    assert "all else as usual; without one of them it passes" in str(measurement)
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = [n for n, text in enumerate(lines, 1) if text.endswith("outputs  # here")]
    assert f"equality/test_verification.py:{line} (tanh of shape" in str(measurement)


def test_a_port_parts_nowhere_from_itself():
    assert parting_from(PURE, FORWARD, PURE) is None


@pytest.mark.parametrize(
    "case",
    [
        Case(lengths=True, dtypes=FLOAT32),
        Case(style="leaves", kernel="fused"),
    ],
)
def test_a_script_runs_a_failed_case_alone(case, capsys, unchecked):
    measurement = measure(PURE, case)
    names = ("jax_enable_x64", "jax_default_matmul_precision")
    before = {name: jax.config.values[name] for name in names}
    scope = {}
    try:
        exec(compile(script_of(measurement), "script", "exec"), scope)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    assert scope["case"] == case
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    form = r".+: largest difference \d.*e[-+]\d+, largest value \d.*"
    for line in lines:
        assert re.fullmatch(form, line)

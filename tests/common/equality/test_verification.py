"""Each check notices a fault, and what fails is told in a way that leads to it."""

import re
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.equality.checks import (
    Case,
    Check,
    compiled,
    draws,
    get_checks,
)
from trigru.common.equality.checks.check import REFUSED, require_cases
from trigru.common.equality.contract import reference
from trigru.common.equality.contract.factors import whole_row
from trigru.common.equality.contract.failures import script_of
from trigru.common.equality.measurement import relative_error
from trigru.common.equality.verification import (
    Examiner,
    assert_equivalent,
    questions,
    verify,
)
from trigru.common.errors import (
    DefectError,
    InputError,
    NotOfferedError,
    TrigruError,
    UnknownNameError,
)
from trigru.common.gru import optimizers
from trigru.common.parameters.record import from_leaves, leaf_shapes
from trigru.common.port.protocol import CallStyle, WithKernel
from trigru.common.port.styles import functional_program
from trigru.impls import get_port
from trigru.impls.pure import PurePort

PURE = get_port("pure")
SINGLY, CONTRACT, LIFE, LONG = get_checks("singly", "contract", "life", "long")
USUAL = SINGLY.rows(PURE)[0] | {"phase": "forward"}  # pyright: ignore[reportOptionalCall]
ONE_ROW = replace(SINGLY, rows=lambda port: [USUAL])


def test_errors_are_relative_to_the_largest_reference_magnitude():
    assert relative_error([1.0, 10.1], [1.0, 10.0]) == pytest.approx(0.01)
    assert relative_error([0.5], [0.0]) == 0.5
    assert np.isnan(relative_error([np.nan], [1.0]))


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
    with pytest.raises(TrigruError, match=message):
        verify(
            **{"ports": [PURE], "dtypes": ["float32"], "checks": [LIFE]}
            | BAD_ARGUMENTS[message]
        )
    with pytest.raises(
        UnknownNameError, match="unknown check 'no-such'. Known: contract, conversion"
    ):
        get_checks("no-such")


def test_a_row_stands_beside_that_of_the_other_ports():
    asked = questions([PURE, get_port("equinox")], ["float64"], get_checks("chunks"))
    assert [port.name for port, *_ in asked[:4]] == [
        "pure",
        "equinox",
        "pure",
        "equinox",
    ]
    assert asked[0][2] == asked[1][2]


def fails(change):
    """A port whose call goes through a change of (carry, outputs)."""

    class Faulty(PurePort):
        name = "faulty"

        def apply(self, model, x, carry=None, **options):
            return change(model, *super().apply(model, x, carry, **options), **options)

    return Faulty()


def test_remat_that_is_lost_where_all_steps_are_unrolled_is_noticed():
    class Dropping(PurePort):
        def apply(self, model, x, carry=None, **options):
            steps = x.shape[0 if options.get("time_major") else -2]
            kept = replace(model, remat=False) if model.unroll >= steps else model
            return super().apply(kept, x, carry, **options)

    row = whole_row(
        {"phase": "forward", "time": "2", "unroll": "beyond", "remat": "yes"}
    )
    found = Examiner(shrink=False).ask(Dropping(), CONTRACT, row)
    assert "remat is lost" in str(found)
    assert found.check == "contract", "not that of the smallest row"


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

    check = replace(ONE_ROW, rows=lambda port: [USUAL | {"style": "leaves"}])
    (found,) = verify([Port()], checks=[check], dtypes=["float64"])
    assert found.passed, found.problem


WRONG = {
    r"float64\(3, 17, 5\), expected float64\(3, 17, 6": lambda _, carry, outputs, **__: (
        carry,
        outputs[..., :-1],
    ),
    r"float32\(3, 6\), expected float64": lambda _, carry, outputs, **__: (
        carry.astype("float32"),
        outputs,
    ),
    "values that are not finite": lambda _, carry, outputs, **__: (
        carry,
        outputs * jnp.nan,
    ),
    "AttributeError: 'Model' object has no attribute": lambda model, *_, **__: (
        model.no_such_field
    ),
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_cannot_be_compared_has_failed(problem):
    (found,) = verify([fails(WRONG[problem])], checks=[ONE_ROW], dtypes=["float64"])
    assert (found.passed, found.error) == (False, None)
    assert re.search(problem, str(found.problem))


def measured(*cases, port=PURE):
    """The measurement of a check that is made up."""
    return Examiner().ask(port, Check("made up", "", lambda port: cases))


def test_a_kernel_keeps_no_more_than_the_stock_one():
    class Saving(PurePort):
        def apply(self, model, *given, **options):
            return super().apply(
                replace(model, remat=model.remat or model.kernel == "stock"),
                *given,
                **options,
            )

    found = measured(Case("fused", partial(compiled._require_saved, Saving(), "fused")))
    assert re.search(
        r"the gradient keeps [\d.]+ states for each step, expected at most", str(found)
    )


class Opaque(PurePort):
    """Models that are no pytrees, as NNX's before Flax 0.12."""

    def load(self, config, params):
        return object()


NO_PYTREE = TypeError("Error interpreting argument to load")
NOT_OFFERED = NotOfferedError("no such thing")
RAISED = {
    "not offered: no such thing": (NOT_OFFERED, PURE),
    "a case: it leaks.": (DefectError("it leaks"), PURE),
    "a case: KeyError: 'x'": (KeyError("x"), PURE),
    "a case: TypeError: Error interpreting": (NO_PYTREE, PURE),
    "not offered: a model that is a pytree, with the installed versions of jax, jaxlib (": (
        NO_PYTREE,
        Opaque(),
    ),
    "a case: TypeError: got an unexpected": (
        TypeError("got an unexpected keyword argument"),
        Opaque(),
    ),
}


@pytest.mark.parametrize("problem", RAISED)
def test_a_check_that_raises_has_failed(problem):
    error, port = RAISED[problem]
    found = measured(Case("a case", Mock(side_effect=error)), port=port)
    assert str(found.problem).startswith(problem)
    assert (found.offered, found.passed) == (
        not problem.startswith("not offered"),
        False,
    )


@pytest.mark.parametrize(
    ("found", "bound", "problem"),
    [
        (1 + 1e-11 * np.ones(2), 1e-10, None),
        (1 + 1e-11 * np.ones(2), 1e-12, "has error 1.0e-11, at most 1.0e-12 allowed"),
        (np.nan * np.ones(2), np.inf, "has error nan"),
        (np.ones(3), 1e-12, r"has float64\(3,\), expected float64\(2,\)"),
        (1.0, 1e-12, r"has float\(\), expected"),
        (None, 1e-12, "0 arrays, expected 1"),
        (np.nextafter(np.ones(2), 2), None, "has other bits"),
    ],
)
def test_arrays_that_are_missing_or_differ_have_failed(found, bound, problem):
    """Where two ones are expected."""
    measurement = measured(
        Case("a case", lambda: {"a": found}, {"a": np.ones(2)}, bound)
    )
    assert measurement.passed == (problem is None)
    assert problem is None or re.search(f"a case: .*{problem}", str(measurement))


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (InputError, None),
        (NotOfferedError, None),
        (TypeError, "bad: TypeError, expected an InputError."),
        (DefectError, "bad: a message."),
    ],
)
def test_a_bad_call_has_to_be_refused_by_an_error_of_ours(error, problem):
    assert (
        measured(Case("bad", Mock(side_effect=error("a message")), REFUSED)).problem
        == problem
    )
    assert not measured(Case("bad", lambda: 1, REFUSED)).passed


def test_a_case_silences_no_warning_of_others():
    filters, silencing = (
        warnings.filters[:],
        Case("silencing", partial(warnings.simplefilter, "ignore")),
    )
    assert "warning: UserWarning: " in str(
        measured(silencing, Case("warning", partial(warnings.warn, "a message")))
    )
    assert warnings.filters == filters


def test_a_bad_initializer_has_to_be_refused_outside_of_jit_too(monkeypatch, unchecked):
    make = PurePort.make
    monkeypatch.setattr(
        PurePort,
        "make",
        lambda *given: isinstance(given[-1], jax.core.Tracer) and make(*given),
    )
    (found,) = verify([PURE], checks=get_checks("refusals"))
    assert re.search(
        "outside of jit, .* another size: .* outside of jit, .* another dtype",
        str(found),
    )


def test_what_is_not_offered_is_left_out_beside_the_rest():
    one, other = (
        Case("one", Mock(side_effect=NOT_OFFERED)),
        Case("other", lambda: np.ones(2), np.ones(2) * (1 + 1e-13)),
    )
    assert measured(one, other).error == pytest.approx(1e-13, rel=0.01)
    assert not measured(one).offered
    named = re.findall(
        r"case \d",
        str(measured(*(Case(f"case {n}", lambda: None, np.ones(2)) for n in range(5)))),
    )
    assert named == ["case 0", "case 1", "case 2"], "no more than three are run"
    nothing = Examiner().ask(PURE, Check("made up", ""))
    assert not nothing.offered, "a check that selects no row of a port"


@pytest.mark.parametrize("error", [NOT_OFFERED, KeyError("x")])
def test_a_defect_counts_whatever_is_raised_by_what_makes_the_cases(error):
    def cases(before):
        yield from before
        raise error

    with pytest.raises(DefectError, match=r"^wrong: 0 arrays, expected 1\.$"):
        require_cases(cases([Case("wrong", lambda: None, np.ones(2))]))
    with pytest.raises(type(error)):
        require_cases(cases([Case("right", lambda: None)]))


def test_a_coin_of_the_right_deviation_is_another_distribution(rng):
    shapes = leaf_shapes(draws.D, draws.H)
    params = from_leaves(
        {
            name: rng.choice([-1, 1], shape) * shape[-1] ** -0.5
            for name, shape in shapes.items()
        }
    )
    (what, off, bound), *_ = draws._statistics(params, "bfloat16")
    assert what == "input gate r, distribution"
    assert bound < off


@pytest.mark.parametrize("right", [True, False])
def test_the_oracle_does_not_train_with_the_function_that_it_checks(right, monkeypatch):
    jax.clear_caches()
    for cached in (reference._known, reference._traced):
        cached.cache_clear()
    of_carry = optimizers._ends_in
    monkeypatch.setattr(
        optimizers, "_ends_in", lambda path, name: of_carry(path, name) == right
    )
    (training,) = get_checks("training")
    row = next(row for row in training.rows(PURE) if row["optimizer"] == "carry rate")  # pyright: ignore[reportOptionalCall]
    check = replace(training, rows=lambda port: [row])
    (found,) = verify([PURE], checks=[check], dtypes=["float64"])
    assert found.passed == right, found.problem


def test_assert_equivalent_names_what_differs():
    port = fails(lambda model, carry, outputs, **_: (carry, outputs * 1.5))
    with pytest.raises(
        AssertionError,
        match=r"not equivalent to the oracle:\nfaulty: sequence: .* in float64: error",
    ):
        assert_equivalent(port, checks=[LONG], dtypes=["float64"])
    with pytest.raises(AssertionError, match="nothing was measured"):
        assert_equivalent(PURE, checks=[LIFE], dtypes=["bfloat16"])


def test_a_kernel_is_part_of_a_measurement():
    (found,) = verify([WithKernel(PURE, "fused")], checks=[ONE_ROW], dtypes=["float64"])
    assert (found.kernel, found.passed) == ("fused", True)
    assert str(found).startswith("pure:fused: ")


@pytest.mark.parametrize(
    "levels",
    [{"lengths": "passed", "dtype": "float32"}, {"style": "leaves", "kernel": "fused"}],
)
def test_a_script_runs_a_failed_row_alone(levels, capsys, unchecked):
    check = replace(ONE_ROW, rows=lambda port: [USUAL | {"phase": "gradient"} | levels])
    (found,) = verify([PURE], checks=[check], dtypes=["float64", "float32"])
    before = {
        name: jax.config.values[name]
        for name in ("jax_enable_x64", "jax_default_matmul_precision")
    }
    scope = {}
    try:
        exec(compile(script_of(found), "script", "exec"), scope)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    assert levels.items() <= scope["row"].items()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert all(
        re.fullmatch(r".+: largest difference \d.*e[-+]\d+, largest value \d.*", line)
        for line in lines
    )


def test_a_row_that_fails_once_alone_has_failed():
    class Once(PurePort):
        calls = 0

        def apply(self, *given, **named):
            self.calls += 1
            if self.calls == 1:
                raise MemoryError("for the moment")
            return super().apply(*given, **named)

    measurement = Examiner().ask(
        Once(), replace(ONE_ROW, by_levels=False), whole_row({})
    )
    assert (measurement.problem, measurement.check) == (
        "MemoryError: for the moment",
        "sequence",
    )


def test_a_row_that_fails_is_told_by_the_fewest_levels_and_where_it_parts_from_plain_jax():
    def changed(model, carry, outputs, *, reverse=False, **_):
        return carry, jnp.tanh(outputs) if reverse else outputs  # here

    row = USUAL | {"reverse": "yes", "remat": "yes", "batch": "1"}
    measurement = Examiner(reference=PURE).ask(
        fails(changed), replace(ONE_ROW, by_levels=False), row
    )
    assert (measurement.passed, measurement.levels["reverse"]) == (False, "yes")
    assert not {"remat", "batch"} & {*measurement.levels}, "without which it fails, too"
    assert "all else as usual; without one of them it passes" in str(measurement)
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = (
        number
        for number, text in enumerate(source, 1)
        if text.endswith("else outputs  # here")
    )
    assert f"equality/test_verification.py:{line} (tanh of shape" in str(measurement)

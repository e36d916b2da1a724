"""A check that asks less than it says is noticed: what each one calls, with what, in which dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.equality.cases import Case
from trigru.common.equality.checks import CHECKS, DTYPES, _with_half_params, derivatives, get_checks
from trigru.common.equality.checks.phases import ADAM
from trigru.common.equality.contract import programs
from trigru.common.equality.contract.examination import NOT_FINITE
from trigru.common.equality.oracle_training import trajectory
from trigru.common.equality.verification import Examiner, questions, verify
from trigru.common.port.task import Batch
from trigru.impls import unavailable
from trigru.impls.faults import FAULTS
from trigru.impls.pure import PurePort

from ..support.arrays import assert_bits

#: Rows of a design are held to it in tests/common/equality/contract.
ONE_BY_ONE = [check for check in CHECKS if check.rows is None]


class Spy(PurePort):
    """Notes how it is called."""

    def __init__(self):
        self.calls = set()

    def apply(self, model, x, carry=None, **options):
        said = [name for name, value in options.items() if value is not None and value is not False]
        said += ["carry"] * (carry is not None)
        said += ["unroll"] * (model.unroll > 1) + ["remat"] * model.remat
        said += [f"dtype={model.dtype}"] * (model.dtype is not None)
        self.calls.add((np.ndim(x), " ".join(sorted(said))))
        return super().apply(model, x, carry, **options)

    def step(self, model, x, carry=None, *, reset=None):
        said = ["carry"] * (carry is not None) + ["reset"] * (reset is not None)
        self.calls.add(("step", " ".join(said)))
        return super().step(model, x, carry, reset=reset)


MASKED = "lengths resets"
#: Axes of the inputs, and what was passed or configured beside them.
CALLS = {
    "conversion": set(),
    "sequence": {(3, "")},
    "golden": {(3, MASKED)},
    "carry": {(3, "carry")},
    "chunks": {(3, ""), (3, "carry")},
    "step": {("step", ""), ("step", "carry")},
    "lengths": {(3, "lengths")},
    "resets": {(3, "resets")},
    "masks": {(3, f"carry {MASKED}")},
    "reverse": {(3, f"{MASKED} reverse")},
    "batch-axes": {(4, f"carry {MASKED}")},
    "time-major": {(4, f"carry {MASKED} time_major")},
    "unroll": {(3, "unroll")},
    "remat": {(3, "remat")},
    "inference": {(3, ""), (3, f"carry {MASKED}"), (3, f"{MASKED} reverse")},
    "eager": {(3, ""), (3, "carry")},
    "vmap": {(2, "carry")},
    "export": {(3, "")},
    "jvp": {(3, "")},
    "hvp": {(3, MASKED)},
    "dtype": {(3, "dtype=bfloat16")},
    "param-dtype": {(3, "dtype=float32")},
    "forward": {(3, "")},
    "training": {(3, "")},
    "sgd": {(3, "")},
    "adamw": {(3, "")},
    "carry-rate": {(3, "")},
    "classifier": set(),  # calls classify
    "step-reset": {("step", "carry reset")},
    "start": {(4, "carry")},
    "long": {(3, "lengths")},
    "long-reverse": {(3, "carry remat resets reverse")},
    "faint": {(3, "")},
    "closed": {(3, "")},
    "counted": {(3, "lengths"), (3, ""), (3, "dtype=bfloat16 lengths"), (3, "dtype=float16 lengths")},
    "symbolic": {(3, "")},
    "mesh": {(3, f"carry {MASKED}")},
    "per-example": {(2, MASKED)},
    "frozen": {(3, "")},
    "promotion": {(3, "carry"), ("step", "carry")},
    "held": {(3, "carry lengths")},
    "exchange": set(),  # loads and dumps
    "life": {(3, ""), (3, "dtype=bfloat16 remat unroll"), (3, "dtype=bfloat16 remat"), (3, "dtype=bfloat16 unroll")},
    "draws": set(),  # calls make
    "refusals": {
        *((3, said) for said in ("", "carry", "lengths", "resets", "reverse", "time_major")),
        *((3, f"{said} time_major") for said in ("carry", "lengths", "resets")),
        *((3, "carry lengths"), (3, f"carry {MASKED} reverse"), (3, f"carry {MASKED} time_major")),
        (3, "dtype=int32"),
        (3, "remat"),
        *((0, ""), (1, ""), ("step", ""), ("step", "carry"), ("step", "reset")),
    },
    "memory": {(3, ""), (3, "remat"), (3, "unroll"), (3, "remat unroll")},
}
ASKED_IN = {
    "conversion": ("float64", "float32", "bfloat16", "float16"),
    "sequence": ("float64", "float32", "bfloat16", "float16"),
    "masks": ("float64", "float32"),
    "training": ("float64", "float32"),
    "dtype": ("float32",),
    "param-dtype": ("float32",),
}


@pytest.mark.usefixtures("unchecked_where_refused")
@pytest.mark.parametrize("check", ONE_BY_ONE, ids=lambda check: check.name)
def test_a_check_calls_what_it_is_about(check):
    spy = Spy()
    verify([spy], checks=[check], dtypes=check.dtypes[:1])
    assert spy.calls == CALLS[check.name]
    assert check.dtypes == ASKED_IN.get(check.name, ("float64",))


def test_padding_is_nan_to_the_last_step_and_nothing_else_is():
    seen = []

    class Looks(PurePort):
        def apply(self, model, x, carry=None, **options):
            jax.debug.callback(lambda x: seen.append(np.isnan(x)), x)
            return super().apply(model, x, carry, **options)

    case = Case.random(3, 7, 2, 3)
    verify([Looks()], checks=get_checks("lengths"), cases=[case])
    jax.effects_barrier()
    assert seen
    for nan in seen:
        assert_bits(nan.all(-1), np.arange(7) >= case.lengths[:, None])
        assert_bits(nan.any(-1), nan.all(-1))


def test_an_artefact_is_for_three_platforms_and_read_back(monkeypatch):
    artefacts, read = [], jax.export.deserialize

    def deserialize(content):
        artefacts.append(read(content))
        return artefacts[-1]

    monkeypatch.setattr(jax.export, "deserialize", deserialize)
    found = programs.exported(lambda x: {"a": x + 1})(jnp.ones(2))
    assert_bits(found["a"], np.full(2, 2, "f4"))
    assert artefacts[0].platforms == ("cpu", "cuda", "tpu")


def test_a_direction_is_not_the_point():
    case = Case.random(2, 3, 2, 3)
    moved = derivatives._direction(case)
    for a, b in zip(
        jax.tree.leaves((case.params.gru, case.x)), jax.tree.leaves((moved.params.gru, moved.x)), strict=True
    ):
        assert not np.array_equal(a, b)


def test_the_reference_of_half_precision_parameters_has_their_values():
    case = Case.random(2, 3, 2, 3)
    for p in jax.tree.leaves(_with_half_params(case).params):
        assert p.dtype == "float64"
        assert_bits(p, np.asarray(jnp.asarray(p, "bfloat16"), "float64"))


def test_in_float64_training_weighs_nothing():
    case, (check,) = Case.random(2, 4, 3, 2), get_checks("training")
    with jax.enable_x64(True):
        walk = trajectory(case.params.gru, Batch(case.x, case.targets), ADAM, 20, weighted=False)
        found = check.expect(case)
    assert_bits(found["Δ bias"], walk.answers()["Δ bias"])


#: Faults that make a call raise.
RAISE = {
    "needs-batch",
    "known-batch",
    "known-batch-back",
    "no-forward-mode",
    "start-without-tangent",
    "time-first",
    "zeros-alike",
    "no-make",
}
#: Faults that give numbers which are not finite, and no others that are wrong: the NaN of the padding, or of a carry
#: that is reset, reaches what it must not. Those of lengths have a twin that clears the padding.
GIVE_NAN = {
    "length-off-by-one",
    "length-zero-runs",
    "lengths-need-resets",
    "nan-padding",
    "reverse-from-padding",
    "padding-infinite",
    "reset-by-product",
    "lengths-wrapped",
    "overflows",
    "one-step",
}


@pytest.mark.usefixtures("unchecked_where_refused")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_its_check_notices_the_fault_by_what_it_gives_and_not_because_it_breaks(fault):
    if unavailable(fault.needs):
        pytest.skip(unavailable(fault.needs))
    (check,) = get_checks(fault.check)
    found = []
    for question in questions([fault.port], DTYPES, [check]):  # one is enough
        if not found and (question.row is None or fault.levels.items() <= question.row.items()):
            found = [m for m in Examiner().ask(question) if not m.passed]
    assert found, f"{fault.what}: unnoticed by {fault.check}"
    broken = [m for m in found if m.quantity == "call"]
    assert bool(broken) == (fault.name in RAISE), list(map(str, broken))
    assert all(m.problem == NOT_FINITE for m in found) == (fault.name in GIVE_NAN), list(map(str, found))


CONDITIONAL = [
    "reverse",
    "remat",
    "unroll",
    "inference",
    "eager",
    "vmap",
    "life",
    "draws",
    "refusals",
    "memory",
    "jvp",
    "hvp",
    "export",
    "batch-axes",
    "time-major",
    "step-reset",
    "start",
    "counted",
    "symbolic",
    "per-example",
    "frozen",
    "long-reverse",
]


@pytest.mark.parametrize("fault", [m for m in FAULTS if m.check in CONDITIONAL], ids=lambda fault: fault.name)
def test_a_fault_that_needs_a_condition_does_not_show_without_it(fault):
    found = verify([fault.port], checks=get_checks("sequence"), dtypes=["float64"])
    assert all(m.passed for m in found)


def test_every_check_is_pinned():
    assert set(CALLS) == {check.name for check in ONE_BY_ONE}

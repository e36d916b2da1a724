"""The gate before timing: every arm is held to the oracle, and one that is not equal
gets no number.
"""

from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
import pytest
from support.runs import make_arm
from trigru.bench.arms import admission, arms
from trigru.bench.arms.admission import TRAIN_STEPS, NotEqualError, get_reference
from trigru.bench.arms.arms import prepare
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.common.errors import UnavailableError
from trigru.common.port.names import PHASES
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import available_styles, functional_program
from trigru.impls.pure import Model, PurePort

TINY = Sized("tiny")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workload", ["tiny", "utterances"])
def test_every_arm_of_every_port_passes_the_gate(port, workload, phase):
    for style in available_styles(port, phase):
        ready = prepare(make_arm(f"{port.name}[{style.name}]", workload, phase))
        assert 0 < ready.gate <= 1
        assert ready.program.leaves >= 5
        assert all(isinstance(array, jax.Array) for array in ready.arguments), (
            "on the device"
        )


def applied(model=lambda model: model, results=lambda *results: results):
    """A port that applies a changed model, or changes the carry and the outputs."""

    class Faulty(PurePort):
        def apply(self, own, x, carry=None, **masks):
            return results(*super().apply(model(own), x, carry, **masks))

    return Faulty


class WrongStep(PurePort):
    """Starts its one step from the learned state, whatever carry is passed."""

    def step(self, model, x, carry=None, *, reset=None):
        return super().step(model, x, reset=reset)


def with_style(build):
    """A port with another call style alone."""

    class Faulty(PurePort):
        call_styles = (CallStyle("jit", "", build),)

    return Faulty


def trained_by(update):
    """With another optimiser: update(optimiser, gradient, state, model) -> (updates,
    state).
    """

    def build(port, model, task):
        wrong = optax.GradientTransformation(
            task.optimizer.init, partial(update, task.optimizer)
        )
        return functional_program(port, model, replace(task, optimizer=wrong))

    return with_style(build)


def frozen(port, model, task):
    """Trains everything but the initial carry."""

    def rebuild(tree):
        return Model(
            tree.params._replace(
                initial_carry=jax.lax.stop_gradient(tree.params.initial_carry)
            )
        )

    return functional_program(port, model, task, rebuild)


WRONG = {
    "one part in ten thousand": (
        applied(
            model=lambda own: Model(own.params._replace(bias=own.params.bias * 1.0001))
        ),
        *("forward", "gradient", "train_step"),
    ),
    "a carry that is no number": (
        applied(results=lambda carry, outputs: (carry * jnp.nan, outputs)),
        "forward",
    ),
    "an output in the middle": (
        applied(results=lambda carry, y: (carry, y.at[..., 2, :].add(1e-4))),
        "forward",
    ),
    "a step from another state": (WrongStep, "step"),
    "an initial carry that does not train": (
        with_style(frozen),
        "gradient",
        "train_step",
    ),
    "an optimiser that forgets its state": (
        trained_by(
            lambda adam, gradient, state, model: (
                adam.update(gradient, state, model)[0],
                state,
            )
        ),
        "train_step",
    ),
    "an optimiser that updates twice": (
        trained_by(
            lambda adam, *of: jax.tree.map(lambda update: 2 * update, adam.update(*of))
        ),
        "train_step",
    ),
}


@pytest.mark.parametrize(
    ("wrong", "phase"),
    [(wrong, phase) for wrong, (_, *of) in WRONG.items() for phase in of],
)
def test_an_arm_that_is_not_equal_gets_no_number(monkeypatch, wrong, phase):
    monkeypatch.setattr(arms, "get_port", lambda name: WRONG[wrong][0]())
    with pytest.raises(
        NotEqualError, match="not equal to the oracle: .* times what is allowed"
    ):
        prepare(make_arm("pure[jit]", phase=phase))


def test_a_style_that_the_installed_versions_lack_is_said(monkeypatch):
    lacking = CallStyle(
        "jit", "", functional_program, missing=lambda: "this version is too old"
    )
    monkeypatch.setattr(PurePort, "call_styles", (lacking,))
    with pytest.raises(
        UnavailableError,
        match="'jit' of pure is not available: this version is too old",
    ):
        prepare(make_arm("pure[jit]"))


def test_the_first_call_is_the_first_of_those_that_are_compared(monkeypatch):
    monkeypatch.setattr(
        arms, "time", SimpleNamespace(perf_counter=map(float, count()).__next__)
    )
    assert prepare(make_arm("pure[jit]", phase="train_step")).first_call_s == 1.0


def test_processes_share_answers_in_a_folder(tmp_path, monkeypatch):
    computed = []
    compute = admission._compute_reference

    def counted(*question):
        computed.append(question)
        return compute(*question)

    monkeypatch.setattr(admission, "_compute_reference", counted)
    for _ in range(2):  # as two processes do
        get_reference.cache_clear()
        found = get_reference(
            get_workload(TINY), "train_step", "float32", folder=tmp_path
        )
        assert len(found.expected["losses"]) == TRAIN_STEPS
    assert len(computed) == 1


def test_the_gate_is_the_largest_share_of_what_is_allowed():
    program = prepare(make_arm("pure[jit]")).program
    expected = get_reference(get_workload(TINY), "forward", "float32")
    for worst in ("carry", "outputs"):
        answers = {name: want.copy() for name, want in expected.expected.items()}
        for name, answer in answers.items():
            answer.flat[0] += (
                (0.5 if name == worst else 0.25)
                * expected.bounds[name]
                * np.abs(answer).max()
            )
        assert expected.compare(
            program, lambda of=answers: tuple(of.values())
        ) == pytest.approx(0.5, rel=1e-3)
        answers[worst] = answers[worst][0]
        with pytest.raises(
            NotEqualError,
            match=rf"{worst} has shape \((8, )?8,?\), expected \(1, 8(, 8)?\)",
        ):
            expected.compare(program, lambda of=answers: tuple(of.values()))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_an_arm_is_held_to_the_oracle_in_its_own_dtype(dtype, phase):
    """It computes in it, with parameters of float32, and NumPy's own error in it is
    what bounds it.
    """
    arm = msgspec.structs.replace(
        make_arm("equinox[partition]", "utterances", phase), dtype=dtype
    )
    ready = prepare(arm)
    assert ready.gate <= 1
    assert {str(a.dtype) for a in jax.tree.leaves(ready.program.params())} == {
        "float32"
    }
    if phase in ("forward", "step"):
        assert {str(a.dtype) for a in jax.tree.leaves(ready.call())} == {dtype}
    wide = get_reference(get_workload(arm.workload), phase, "float32")
    own = arms.expected_of(arm)
    assert all(own.bounds[name] > 100 * bound for name, bound in wide.bounds.items())


def rounded_by(monkeypatch, backend, precision, dtype="float32"):
    """What may pass on a platform."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    return get_reference.__wrapped__(
        get_workload(Sized("utterances")), "gradient", dtype, precision
    ).bounds


def test_products_that_an_accelerator_rounds_may_be_so_much_less_accurate(monkeypatch):
    """TF32 keeps 11 significant bits of what goes into a product, bfloat16 8, and
    float32 24.
    """
    exact = rounded_by(monkeypatch, "cpu", "highest")
    assert all(0 < bound < 1e-4 for bound in exact.values())
    for backend, precision in (("cpu", "high"), ("cpu", "default"), ("gpu", "highest")):
        assert rounded_by(monkeypatch, backend, precision) == exact, (
            backend,
            precision,
        )
    tf32, bfloat16 = (
        rounded_by(monkeypatch, "gpu", "default"),
        rounded_by(monkeypatch, "tpu", "default"),
    )
    assert rounded_by(monkeypatch, "gpu", "high") == tf32
    for name, bound in exact.items():
        assert 4 * 2.0**-10 <= tf32[name] < 0.1
        assert bound < tf32[name] / 100
        assert 2 < bfloat16[name] / tf32[name] < 30, "three bits are a factor of eight"
    for precision in ("high", "default"):
        own = rounded_by(monkeypatch, "gpu", precision, "bfloat16")
        assert own == rounded_by(monkeypatch, "gpu", "highest", "bfloat16"), (
            "what it multiplies is short already"
        )

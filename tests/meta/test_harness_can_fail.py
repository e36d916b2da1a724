"""The harness is required to fail: ports with one planted fault each, and the check that must notice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.checks import CHECKS, checks_named
from trigru.common.equivalence import assert_equivalent, verify
from trigru.common.params import ClassifierParams, GRUParams
from trigru.common.port import CallStyle, functional_program
from trigru.impls.pure import PORT, Model, Params, PurePort


def edited(change):
    """A port that computes with edited parameters, and dumps them as if nothing were."""

    class Edited(PurePort):
        def apply(self, model, x, carry=None, **masks):
            return super().apply(_edit(model, change), x, carry, **masks)

        def step(self, model, x, carry=None):
            return super().step(_edit(model, change), x, carry)

    return Edited()


def _edit(model, change):
    return Model(model.params._replace(**change(model.params)), model.dtype)


def swap_r_z(p: Params):
    def swap(a):
        r, z, n = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([z, r, n], axis=-1)

    return {"kernel_i": swap(p.kernel_i), "kernel_h": swap(p.kernel_h), "bias": swap(p.bias)}


def b_hn_outside_r(p: Params):
    H = p.bias_n.shape[0]
    return {"bias": p.bias.at[2 * H :].add(p.bias_n), "bias_n": jnp.zeros_like(p.bias_n)}


class CarryMixed(PurePort):
    """A passed carry is added to the learned one."""

    def apply(self, model, x, carry=None, **masks):
        return super().apply(model, x, None if carry is None else carry + 1e-9, **masks)


class CarryDetached(PurePort):
    """The gradient stops at a passed carry, so that none flows through chunks."""

    def apply(self, model, x, carry=None, **masks):
        return super().apply(model, x, None if carry is None else jax.lax.stop_gradient(carry), **masks)


class CarryLost(PurePort):
    """The returned carry is the state one step early."""

    def apply(self, model, x, carry=None, **masks):
        carry, outputs = super().apply(model, x, carry, **masks)
        return (outputs[..., -2, :] if outputs.shape[-2] > 1 else carry), outputs


class LengthOffByOne(PurePort):
    """One step too many."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        return super().apply(model, x, carry, lengths=None if lengths is None else lengths + 1, resets=resets)


class LengthZeroRuns(PurePort):
    """As flax's seq_lengths: an empty sequence is not empty."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        return super().apply(
            model, x, carry, lengths=None if lengths is None else jnp.maximum(lengths, 1), resets=resets
        )


class PaddingLeaks(PurePort):
    """Outputs in the padding repeat the carry instead of zero."""

    def apply(self, model, x, carry=None, **masks):
        carry, outputs = super().apply(model, x, carry, **masks)
        return carry, jnp.where(outputs == 0, carry[..., None, :], outputs)


class ResetToZeros(PurePort):
    """An episode starts from zeros."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        if resets is not None:
            start = model.params.initial_carry if carry is None else carry
            model = Model(model.params._replace(initial_carry=jnp.zeros_like(model.params.initial_carry)), model.dtype)
            carry = jnp.broadcast_to(start, (x.shape[0], start.shape[-1]))
        return super().apply(model, x, carry, lengths=lengths, resets=resets)


class StepDiffers(PurePort):
    """One step alone forgets b_hn."""

    def step(self, model, x, carry=None):
        return super().step(_edit(model, lambda p: {"bias_n": jnp.zeros_like(p.bias_n)}), x, carry)


class DumpTransposed(PurePort):
    """A square matrix comes back transposed: no shape gives it away."""

    def dump(self, tree):
        params = super().dump(tree)
        if isinstance(params, ClassifierParams):
            return params._replace(gru=self._transposed(params.gru))
        return self._transposed(params)

    def _transposed(self, gru: GRUParams):
        return gru._replace(weight_hh=np.concatenate([gate.T for gate in np.split(gru.weight_hh, 3)]))


class DumpRounds(PurePort):
    """Conversion that loses the last bits."""

    def load(self, config, params):
        if config.param_dtype != "float64":
            return super().load(config, params)
        return super().load(config, jax.tree.map(lambda p: p.astype("f4").astype("f8"), params))


class ReadoutOfPadding(PurePort):
    """The classifier reads the state after the padding."""

    def classify(self, model, x, lengths=None):
        return super().classify(model, x)


class WrongShape(PurePort):
    """Outputs with time first."""

    def apply(self, model, x, carry=None, **masks):
        carry, outputs = super().apply(model, x, carry, **masks)
        return carry, jnp.swapaxes(outputs, 0, 1)


class Raises(PurePort):
    """Fails in its own way."""

    def apply(self, model, x, carry=None, **masks):
        raise RuntimeError("no such luck")


class HalfPrecision(PurePort):
    """Computes float32 in bfloat16: the same function, at float64, but not as accurate as it should be."""

    def apply(self, model, x, carry=None, **masks):
        if x.dtype == jnp.float32:
            half = Model(model.params, "bfloat16")
            return jax.tree.map(lambda a: a.astype("float32"), super().apply(half, x, carry, **masks))
        return super().apply(model, x, carry, **masks)


class WrongGradient(PurePort):
    """The gradient of the initial carry is scaled."""

    def value_and_grad(self, function):
        differentiate = super().value_and_grad(function)

        def scaled(model, *arrays):
            value, (gradient, *others) = differentiate(model, *arrays)
            params = gradient.params._replace(initial_carry=gradient.params.initial_carry * (1 + 1e-9))
            return value, (Model(params, gradient.dtype), *others)

        return scaled


def _style(build):
    class Styled(PurePort):
        call_styles = (*PurePort.call_styles, CallStyle("faulty", "", build))

    return Styled()


def _forgets_optimizer_state(port, model, task):
    program = functional_program(port, model, task)
    if task.phase != "train_step":
        return program
    tree, optimizer = model, task.optimizer

    def call(*arrays):
        nonlocal tree
        loss, gradient = jax.value_and_grad(lambda tree: task.objective(tree, *arrays))(tree)
        updates, _ = optimizer.update(gradient, optimizer.init(tree), tree)
        tree = jax.tree.map(lambda p, u: p + u, tree, updates)
        return loss

    program.call, program.params = call, lambda: port.dump(tree)
    return program


def _runs_another_model(port, model, task):
    return functional_program(port, jax.tree.map(lambda p: p + 1e-9, model), task)


def _detaches_initial_carry(port, model, task):
    def rebuild(tree):
        return _edit(tree, lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})

    return functional_program(port, model, task, rebuild)


FAULTS = [
    ("sequence", edited(swap_r_z)),
    ("sequence", edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})),
    ("sequence", edited(b_hn_outside_r)),
    ("sequence", edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})),
    ("sequence", edited(lambda p: {"initial_carry": p.initial_carry * 0})),
    ("sequence", edited(lambda p: {"bias": 2 * p.bias})),
    ("sequence", edited(lambda p: {"kernel_h": p.kernel_h.at[:, :6].set(p.kernel_h[:, :6].T)})),
    ("sequence", CarryLost()),
    ("sequence", WrongShape()),
    ("sequence", Raises()),
    ("sequence", HalfPrecision()),
    ("sequence", WrongGradient()),
    ("carry", CarryMixed()),
    ("carry", CarryDetached()),
    ("chunks", CarryDetached()),
    ("step", StepDiffers()),
    ("lengths", LengthOffByOne()),
    ("lengths", LengthZeroRuns()),
    ("lengths", PaddingLeaks()),
    ("resets", ResetToZeros()),
    ("conversion", DumpTransposed()),
    ("conversion", DumpRounds()),
    ("classifier", ReadoutOfPadding()),
    ("training", edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)})),
    ("style forward", _style(_runs_another_model)),
    ("style training", _style(_forgets_optimizer_state)),
    ("style training", _style(_detaches_initial_carry)),
]


@pytest.mark.parametrize(
    ("check", "faulty"), FAULTS, ids=[f"{check}-{number}" for number, (check, _) in enumerate(FAULTS)]
)
def test_the_check_notices(check, faulty):
    found = verify([faulty], checks=checks_named(check))
    assert any(not m.passed for m in found), "the fault went unnoticed"
    assert all(m.check == check for m in found)


def test_every_check_has_a_fault_that_it_notices():
    assert {check for check, _ in FAULTS} == {check.name for check in CHECKS}


def test_the_unmutated_port_passes():
    assert_equivalent(PORT)


def test_a_failure_names_port_check_quantity_and_sizes():
    with pytest.raises(AssertionError) as error:
        assert_equivalent(StepDiffers(), checks=checks_named("step"))
    assert "pure: step: outputs in float64: error " in str(error.value)
    assert "at most 1.0e-12 allowed" in str(error.value)


def test_an_exception_is_a_failure_with_its_message():
    found = verify([Raises()], checks=checks_named("sequence"), dtypes=["float64"])
    assert [str(m) for m in found] == ["pure: sequence: call in float64: RuntimeError: no such luck"]


def test_nan_fails():
    found = verify([edited(lambda p: {"bias": p.bias * jnp.nan})], checks=checks_named("sequence"))
    assert not any(m.passed for m in found)

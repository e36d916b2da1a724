"""Faults in what is computed."""

import jax
import jax.numpy as jnp

from ..pure import PurePort
from .fault import Applied, Edited, Fault


def _gates(order, signs=(1, 1, 1)):
    """Put the gates r, z, n of the fused matrices in another order, or negate their preactivations."""

    def rearranged(a):
        gates = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([gates[g] * s for g, s in zip(order, signs, strict=True)], axis=-1)

    return lambda p: {name: rearranged(getattr(p, name)) for name in ("kernel_i", "kernel_h", "bias")}


def _b_hn_outside_r(p):
    H = p.bias_n.shape[0]
    return {"bias": p.bias.at[2 * H :].add(p.bias_n), "bias_n": jnp.zeros_like(p.bias_n)}


def _recurrent_transposed(p):
    gates = [gate.T for gate in jnp.split(p.kernel_h, 3, axis=-1)]
    return {"kernel_h": jnp.concatenate(gates, axis=-1)}


class _ByHand(PurePort):
    """A loop over steps of a cell that is written out. Calls with masks or flags are the port's own."""

    def next_state(self, p, i, h):
        """From parameters, what inputs add to each gate, and the state."""
        raise NotImplementedError

    def apply(self, model, x, carry=None, **options):
        p = model.params
        if options:
            return super().apply(model, x, carry, **options)

        def advance(h, x):
            i = x @ p.kernel_i + jnp.broadcast_to(p.bias, (x.shape[0], 3 * h.shape[-1]))
            h = self.next_state(p, jnp.split(i, 3, axis=-1), h)
            return h, h

        start = p.initial_carry if carry is None else carry
        carry, outputs = jax.lax.scan(
            advance, jnp.broadcast_to(start, (x.shape[0], start.shape[-1])), jnp.moveaxis(x, 1, 0)
        )
        return carry, jnp.moveaxis(outputs, 0, 1)


class _ResetBeforeProduct(_ByHand):
    """The older cell of Cho et al., which Haiku has: W_hn (r * h) instead of r * (W_hn h)."""

    def next_state(self, p, i, h):
        H = h.shape[-1]
        h_r, h_z = jnp.split(h @ p.kernel_h[:, : 2 * H], 2, axis=-1)
        r, z = jax.nn.sigmoid(i[0] + h_r), jax.nn.sigmoid(i[1] + h_z)
        b_n = jnp.broadcast_to(p.bias_n, h.shape)
        return (1 - z) * jnp.tanh(i[2] + (r * h) @ p.kernel_h[:, 2 * H :] + r * b_n) + z * h


class _GatesByTanh(_ByHand):
    """The sigmoid as (1 + tanh(a / 2)) / 2, which is the same but for rounding where it is near 0."""

    def next_state(self, p, i, h):
        h_r, h_z, h_n = jnp.split(h @ p.kernel_h, 3, axis=-1)
        r, z = ((1 + jnp.tanh(a / 2)) / 2 for a in (i[0] + h_r, i[1] + h_z))
        return (1 - z) * jnp.tanh(i[2] + r * (h_n + jnp.broadcast_to(p.bias_n, h.shape))) + z * h


def _time_first(call, model, x, carry, **options):
    carry, outputs = call(model, x, carry, **options)
    return carry, jnp.moveaxis(outputs, -2, 0)


def _time_reversed(call, model, x, carry, **options):
    return call(model, x, carry, **options) if options else call(model, x[..., ::-1, :], carry)


FAULTS: tuple[Fault, ...] = (
    Fault("swapped-gates", "r and z swapped", "sequence", Edited(_gates((1, 0, 2)))),
    Fault("inverted-z", "h' = z * n + (1 - z) * h", "sequence", Edited(_gates((0, 1, 2), (1, -1, 1)))),
    Fault("no-b-hn", "b_hn dropped", "sequence", Edited(lambda p: {"bias_n": jnp.zeros_like(p.bias_n)})),
    Fault("b-hn-outside-r", "b_hn added outside r", "sequence", Edited(_b_hn_outside_r)),
    Fault("reset-first", "r applied before the product", "sequence", _ResetBeforeProduct()),
    Fault("gates-by-tanh", "gates by way of tanh", "closed", _GatesByTanh()),
    Fault("double-bias", "b_i counted twice", "sequence", Edited(lambda p: {"bias": 2 * p.bias})),
    Fault("transposed", "recurrent matrices transposed", "sequence", Edited(_recurrent_transposed)),
    Fault("zero-start", "starts from zeros", "sequence", Edited(lambda p: {"initial_carry": p.initial_carry * 0})),
    Fault(
        "detached-start",
        "no gradient to the initial carry",
        "sequence",
        Edited(lambda p: {"initial_carry": jax.lax.stop_gradient(p.initial_carry)}),
    ),
    Fault("time-first", "outputs time-major", "sequence", Applied(_time_first)),
    Fault("time-reversed", "runs backwards", "sequence", Applied(_time_reversed)),
)

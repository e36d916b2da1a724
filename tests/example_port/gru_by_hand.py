"""A GRU written by hand, with a matrix for each gate, and the port by which trigru checks and times it."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers, sigmoid
from trigru.common import (
    GRUParams,
    Port,
    check_batch_shape,
    check_call,
    check_config,
    check_load,
    clip_lengths,
    computation_dtype,
    for_carry,
    shared_styles,
    vary_alike,
)

GATES = "r", "z", "n"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GRU:
    """A GRU with a learned initial carry. It takes one example: batch it with jax.vmap."""

    w_i: dict[str, jax.Array]  # by gate, each (H, D)
    w_h: dict[str, jax.Array]  # by gate, each (H, H)
    b_i: dict[str, jax.Array]  # by gate, each (H,)
    b_hn: jax.Array  # (H,)
    initial_carry: jax.Array  # (H,)
    dtype: Any = field(default=None, metadata={"static": True})
    unroll: int = field(default=1, metadata={"static": True})
    remat: bool = field(default=False, metadata={"static": True})

    def __call__(self, x, carry=None, lengths=None, resets=None, reverse=False):
        """Run over x (T, D) with lengths () and resets (T,); returns the carry (H,) and the outputs (T, H)."""
        gru, x, h = self._promote(x, carry)
        active = jnp.arange(len(x)) < (len(x) if lengths is None else lengths)  # (T,)
        resets = jnp.zeros(len(x), bool) if resets is None else resets  # (T,)
        x = jnp.where(active[:, None], x, 0)  # a NaN in the padding reaches no gradient

        def advance(h, inputs):
            x, reset, on = inputs
            h_next = gru.cell(x, jnp.where(reset, gru.initial_carry, h))
            return jnp.where(on, h_next, h), jnp.where(on, h_next, 0)

        if self.remat:  # where all steps are unrolled, there is no loop, and XLA would merge both passes
            advance = jax.checkpoint(advance, prevent_cse=self.unroll >= len(x))
        return jax.lax.scan(
            advance, h, (x, resets, active), reverse=reverse, unroll=self.unroll
        )

    def step(self, x, carry=None, reset=None):
        """Run one time step on x (D,) with reset (); returns the carry and the output, which are the same (H,)."""
        gru, x, h = self._promote(x, carry)
        h = gru.cell(x, h if reset is None else jnp.where(reset, gru.initial_carry, h))
        return h, h

    def cell(self, x, h):
        """The next state (H,) from x (D,) and h (H,)."""
        i = {gate: self.w_i[gate] @ x + self.b_i[gate] for gate in GATES}
        r = sigmoid(i["r"] + self.w_h["r"] @ h)
        z = sigmoid(i["z"] + self.w_h["z"] @ h)
        n = jnp.tanh(i["n"] + r * (self.w_h["n"] @ h + self.b_hn))
        return (1 - z) * n + z * h

    def _promote(self, x, carry):
        dtype = computation_dtype(self.dtype, self.initial_carry, x, carry)
        gru = jax.tree.map(lambda p: p.astype(dtype), self)
        x, h = (
            x.astype(dtype),
            gru.initial_carry if carry is None else carry.astype(dtype),
        )
        return (
            gru,
            x,
            vary_alike(h, x)[0],
        )  # in a jax.shard_map, a loop's carry varies as its inputs do


# The port ---------------------------------------------------------------------------------------------------


class ByHandPort(Port):
    """The port of the classes above. Gradients are JAX's, as by default."""

    name = "by-hand"  # as the entry point
    title = "by hand"
    packages = ("gru-by-hand", "jax", "jaxlib")
    kernels = ("stock",)
    call_styles = shared_styles(name="jit")

    def make(self, config, key):
        check_config(self, config)
        D, H = config.input_size, config.hidden_size
        keys = jax.random.split(key, 7)
        fan_in = initializers.lecun_normal(in_axis=1, out_axis=0)
        square = initializers.orthogonal()
        w_i = jnp.concatenate([fan_in(k, (H, D)) for k in keys[:3]])
        w_h = jnp.concatenate([square(k, (H, H)) for k in keys[3:6]])
        carry_init = for_carry(config.carry_init or initializers.zeros)
        h = carry_init(keys[6], (H,), config.param_dtype)
        params = GRUParams(w_i, w_h, jnp.zeros(3 * H), jnp.zeros(H), h)
        params = jax.tree.map(lambda p: p.astype(config.param_dtype), params)
        return self.load(config, params)

    def load(self, config, params):
        check_load(self, config, params)
        by_gate = [dict(zip(GATES, jnp.split(p, 3), strict=True)) for p in params[:3]]
        return GRU(
            *by_gate,
            *map(jnp.asarray, params[3:]),
            config.dtype,
            config.unroll,
            config.remat,
        )

    def dump(self, tree):
        stacked = [
            np.concatenate([p[gate] for gate in GATES])
            for p in (tree.w_i, tree.w_h, tree.b_i)
        ]
        return GRUParams(
            *stacked, np.asarray(tree.b_hn), np.asarray(tree.initial_carry)
        )

    def apply(
        self,
        model,
        x,
        carry=None,
        *,
        lengths=None,
        resets=None,
        reverse=False,
        time_major=False,
    ):
        masks = {"lengths": lengths, "resets": resets}
        check_call(
            x, carry, **sizes(model), **masks, reverse=reverse, time_major=time_major
        )
        lengths = clipped(lengths, x.shape[0 if time_major else -2])
        batch = int(time_major)  # the axis of x, resets and outputs to map next
        run = batched(
            partial(model, reverse=reverse),
            x.ndim - 2,
            (batch, 0, 0, batch),
            (0, batch),
        )
        return run(x, carry, lengths, resets)

    def step(self, model, x, carry=None, *, reset=None):
        check_call(x, carry, **sizes(model), time=False, reset=reset)
        return batched(model.step, x.ndim - 1)(x, carry, reset)

    def initial_carry(self, model, batch_shape=()):
        check_batch_shape(batch_shape)
        h = model.initial_carry.astype(model.dtype or model.initial_carry.dtype)
        return jnp.broadcast_to(h, (*batch_shape, *h.shape))


def batched(function, axes, in_axes=0, out_axes=0):
    """A function of one example, mapped over some batch axes."""
    for _ in range(axes):
        function = jax.vmap(function, in_axes, out_axes)
    return function


def sizes(gru):
    """D and H, as `check_call` wants them."""
    hidden_size, input_size = gru.w_i["r"].shape
    return {"input_size": input_size, "hidden_size": hidden_size}


def clipped(lengths, time):
    """Lengths as jax.vmap keeps them: without 64-bit types, it makes 32 bits of NumPy's 64."""
    return None if lengths is None else clip_lengths(lengths, time)


PORT = ByHandPort()

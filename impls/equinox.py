"""A GRU in Equinox whose initial state is a parameter, a field with an array.

The layout of the parameters is the canonical one: `cell.weight_ih`, `cell.weight_hh`,
`cell.bias`, `cell.bias_n`, `initial_carry`. A model takes one example (time, features),
and is batched with `jax.vmap`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from ..common.compat import dotted
from ..common.gru import checks, initializers, recurrence
from ..common.parameters.layouts import NO_BIASES, Layout, LayoutRow
from ..common.port.protocol import (
    CallStyle,
    ModelClass,
    Port,
    check_config,
    check_load,
    own_array,
)
from ..common.port.styles import functional_program, shared_styles, train_code

__all__ = ["GRU", "PORT", "time_major"]


class GRU(eqx.Module):
    """A GRU that starts from a learned initial carry unless one is passed.

    The equations are those of `trigru.common.equality.oracle`. Raises an InputError for
    a bad size, dtype or option.

    Args:
        input_size: D, features of one input frame.
        hidden_size: H, hidden units.
        carry_init: JAX initializer of the initial carry, called with shape (H,). None
            means zeros that are not learned.
        kernel_init, recurrent_kernel_init, bias_init: JAX initializers in place of the
            uniform ones of `eqx.nn.GRUCell`, called with the shapes (D, 3H), (H, 3H),
            and (3H,) and (H,). By default each gate's matrix is drawn by itself,
            lecun_normal and orthogonal, and biases are zero.
        dtype: of the computation; None promotes inputs, parameters and a passed carry.
        param_dtype: of the stored parameters.
        unroll: steps in one iteration of the compiled loop.
        remat: recompute the gates in the backward pass instead of keeping them.
        kernel: "stock" scans `eqx.nn.GRUCell`, "fused" runs `common.gru.fused`. Both
            give the same values up to rounding. "auto" chooses by the device
            and the sizes of a call (docs/kernel.md).
        key: for the parameters.

    >>> carry_init = jax.nn.initializers.normal(0.1)
    >>> model = GRU(4, 8, carry_init, key=jax.random.key(0))
    >>> x = jnp.ones((2, 5, 4))
    >>> carry, outputs = jax.vmap(model)(x)
    >>> # the next chunk of the same sequences
    >>> carry, outputs = jax.vmap(model)(x, carry)
    >>> model.initial_carry.shape, carry.shape, outputs.shape
    ((8,), (2, 8), (2, 5, 8))
    """

    cell: eqx.nn.GRUCell
    initial_carry: Array | None
    dtype: Any = eqx.field(static=True)
    unroll: int = eqx.field(static=True)
    remat: bool = eqx.field(static=True)
    kernel: str = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        carry_init: Callable[..., Any] | None = jax.nn.initializers.zeros,
        *,
        kernel_init: Callable[..., Any] = initializers.fan_in_per_gate,
        recurrent_kernel_init: Callable[..., Any] = initializers.orthogonal_per_gate,
        bias_init: Callable[..., Any] = jax.nn.initializers.zeros,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        unroll: int = 1,
        remat: bool = False,
        kernel: str = "stock",
        key: PRNGKeyArray,
    ):
        checks.check_model(
            input_size=input_size,
            hidden_size=hidden_size,
            dtype=dtype,
            param_dtype=param_dtype,
            unroll=unroll,
            remat=remat,
            kernel=kernel,
        )
        D = int(input_size)  # static fields are no NumPy integers
        H = int(hidden_size)
        key_i, key_h, key_c, key_b, key_n = jax.random.split(key, 5)
        cell = eqx.nn.GRUCell(D, H, dtype=param_dtype, key=key)
        self.cell = eqx.tree_at(
            lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n),
            cell,
            (
                kernel_init(key_i, (D, 3 * H), param_dtype).T,
                recurrent_kernel_init(key_h, (H, 3 * H), param_dtype).T,
                bias_init(key_b, (3 * H,), param_dtype),
                bias_init(key_n, (H,), param_dtype),
            ),
        )
        self.initial_carry = None
        if carry_init is not None:
            draw = initializers.for_carry(carry_init)
            self.initial_carry = draw(key_c, (H,), param_dtype)
        self.dtype = None if dtype is None else jnp.dtype(dtype)
        self.unroll = int(unroll)
        self.remat = remat
        self.kernel = kernel

    def __call__(
        self,
        x: Float[Array, "time features"],
        carry: Float[Array, " hidden"] | None = None,
        *,
        lengths: Integer[Array, ""] | None = None,
        resets: Bool[Array, " time"] | None = None,
        reverse: bool = False,
    ) -> tuple[Float[Array, " hidden"], Float[Array, "time hidden"]]:
        """Run over a sequence.

        Args:
            x: inputs (T, D).
            carry: starting state (H,); None starts from the initial carry.
            lengths: valid steps, a scalar. Later steps leave the carry alone, and their
                outputs are zero. `jax.vmap` and `jax.jit` make 32 bits of NumPy's 64:
                clip lengths that do not fit int32 before.
            resets: (T,). Where true, the state becomes the initial carry before that
                step.
            reverse: run from the last step to the first; outputs stay beside their
                inputs. To batch a call with it, bind it first:
                `jax.vmap(functools.partial(model, reverse=True))`.

        Returns the final carry (H,) and the outputs (T, H), in the dtype of the
        computation. Raises an InputError for arrays or flags that do not fit each other
        or the model.
        """
        checks.check_call(
            x,
            carry,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            input_size=self.cell.input_size,
            hidden_size=self.cell.hidden_size,
            batched=False,
        )
        loop = recurrence.begin(
            x,
            carry,
            self.get_initial_carry(),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            dtype=self.dtype,
        )
        cell = recurrence.cast(self.cell, loop.dtype)
        if recurrence.is_fused(self.kernel, loop.x):
            weights = recurrence.Weights(
                kernel_i=cell.weight_ih.T,  # (D, 3H)
                kernel_h=cell.weight_hh.T,  # (H, 3H)
                bias=cell.bias,  # (3H,)
                bias_n=cell.bias_n,  # (H,)
            )
            return loop.run_fused(weights, unroll=self.unroll, remat=self.remat)
        return loop.run(lambda h, x: cell(x, h), unroll=self.unroll, remat=self.remat)

    def step(
        self,
        x: Float[Array, " features"],
        carry: Float[Array, " hidden"] | None = None,
        *,
        reset: Bool[Array, ""] | None = None,
    ) -> tuple[Float[Array, " hidden"], Float[Array, " hidden"]]:
        """Run one time step on x (D,).

        It starts from the initial carry where reset is true. Returns the carry and the
        output, which are the same (H,), in the dtype of the computation. Raises an
        InputError for arrays that do not fit each other or the model.
        """
        checks.check_call(
            x,
            carry,
            reset=reset,
            time=False,
            input_size=self.cell.input_size,
            hidden_size=self.cell.hidden_size,
            batched=False,
        )
        initial = self.get_initial_carry()  # (H,)
        h, x = recurrence.begin_step(x, carry, initial, reset=reset, dtype=self.dtype)
        cell = recurrence.cast(self.cell, h.dtype)
        h = cell(x, h)
        return h, h

    def get_initial_carry(
        self, batch_shape: tuple[int, ...] = ()
    ) -> Float[Array, "*batch hidden"]:
        """The initial carry (*batch_shape, H), in `dtype` or that of the parameters.

        Raises an InputError for a bad shape.
        """
        checks.check_batch_shape(batch_shape)
        params = jax.tree.leaves((self.cell, self.initial_carry))
        dtype = checks.computation_dtype(self.dtype, *params)
        shape = (*batch_shape, self.cell.hidden_size)
        if self.initial_carry is None:
            return jnp.zeros(shape, dtype)
        return jnp.broadcast_to(jnp.asarray(self.initial_carry, dtype), shape)


def time_major(
    gru: eqx.Module,
    x: Float[Array, "time *batch features"],
    carry: Float[Array, "*batch hidden"] | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    resets: Bool[Array, "time *batch"] | None = None,
    reverse: bool = False,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "time *batch hidden"]]:
    """Run a GRU over a batch x (T, *batch, D).

    The carry is (*batch, H), lengths are (*batch), and resets are (T, *batch). Returns
    the final carry (*batch, H) and the outputs (T, *batch, H). Raises an InputError for
    arrays or flags that do not fit each other or the model.

    Each array is mapped over its own batch axes. `jax.vmap(gru, in_axes=1)` would map
    keyword arguments over their first axis, whatever in_axes says. The first axis of
    resets is time, and if there are as many steps as examples, no shape tells the
    mistake.

    >>> model = GRU(4, 8, key=jax.random.key(0))
    >>> x = jnp.ones((5, 2, 4))
    >>> carry, outputs = time_major(model, x, resets=jnp.zeros((5, 2), bool))
    >>> carry.shape, outputs.shape
    ((2, 8), (5, 2, 8))
    """
    return _over_batch(gru, x, carry, lengths, resets, reverse, time_major=True)


def _over_batch(gru: Any, x, carry, lengths, resets, reverse, time_major):
    """Run a GRU over any number of batch axes, each array mapped over its own."""
    checks.check_call(
        x,
        carry,
        lengths=lengths,
        resets=resets,
        reverse=reverse,
        time_major=time_major,
        input_size=gru.cell.input_size,
        hidden_size=gru.cell.hidden_size,
    )
    if lengths is not None:
        # They may have 64 bits, of which jax.vmap makes 32.
        time_axis = 0 if time_major else -2
        lengths = checks.clip_lengths(lengths, np.shape(x)[time_axis])
    if carry is not None:
        # Under jax.vmap, a constant of NumPy's would reach the fused kernel's own
        # derivative.
        carry = jnp.asarray(carry)

    def call(x, resets, carry, lengths):
        return gru(x, carry, lengths=lengths, resets=resets, reverse=reverse)

    batch_axis = 1 if time_major else 0  # of x, resets and outputs
    for _ in range(np.ndim(x) - 2):
        call = jax.vmap(
            call,
            in_axes=(batch_axis, batch_axis, 0, 0),
            out_axes=(0, batch_axis),
        )
    return call(x, resets, carry, lengths)


# The port -----------------------------------------------------------------------------

LAYOUT = Layout(
    "equinox",
    "Equinox",
    (
        LayoutRow("weight_ih", "weight_ih"),
        LayoutRow("weight_hh", "weight_hh"),
        LayoutRow("bias", "bias", if_absent=NO_BIASES),
        LayoutRow("bias_n", "bias_n", if_absent=NO_BIASES),
    ),
)


def _construct(key, input_size, hidden_size, **options):
    return GRU(input_size, hidden_size, **options, key=key)


CLASS = ModelClass(
    _construct,
    initializers={
        "kernel_init": ("weight_ih",),
        "recurrent_kernel_init": ("weight_hh",),
        "bias_init": ("bias", "bias_n"),
    },
)


# Call styles --------------------------------------------------------------------------

_DOCS = "https://docs.kidger.site/equinox/all-of-equinox/"

#: How the styles of jax.jit differ from filter_jit if a check within a program fails.
_LATE_ERRORS = (
    "a failed eqx.error_if raises JAX's error, which may come only where the result is "
    "used"
)


def _split(model):
    """The arrays of a module, and a function that makes a module of them."""
    arrays, static = eqx.partition(model, eqx.is_array)

    def rebuild(arrays):
        return eqx.combine(arrays, static)

    return arrays, rebuild


def _filtered(port, model, task):
    """The program of a style that passes the whole module."""
    return functional_program(
        port,
        model,
        task,
        jit=eqx.filter_jit,
        value_and_grad=eqx.filter_value_and_grad,
        apply_updates=eqx.apply_updates,
    )


CALL_STYLES = (
    CallStyle(
        "filter_jit",
        "call = eqx.filter_jit(f)\ncall(model, x)",
        _filtered,
        train_code("eqx.filter_jit(train_step)", "model"),
        source=_DOCS,
    ),
    CallStyle(
        "jit",
        "call = jax.jit(f)\ncall(model, x)",
        functional_program,
        train_code("jax.jit(train_step)", "model"),
        source=_DOCS,
        caution=f"all leaves of the model must be arrays; {_LATE_ERRORS}",
    ),
    *shared_styles(
        _split,
        name="partition",
        split_code="params, static = eqx.partition(model, eqx.is_array)",
        call_code="f(eqx.combine({}, static), x)",
        source=_DOCS,
        caution="what is no array, such as the mode of dropout, stays as it was when "
        f"the model was partitioned; {_LATE_ERRORS}",
    ),
)


# The protocol -------------------------------------------------------------------------


class EquinoxPort(Port):
    """`trigru.common.Port` of Equinox."""

    name = "equinox"
    title = "Equinox"
    packages = ("equinox", "jax", "jaxlib")
    layout = LAYOUT
    model_class = CLASS
    call_styles = CALL_STYLES

    def make(self, config, key):
        check_config(self, config)
        return self._gru(config, key)

    def _gru(self, config, key) -> Any:
        return GRU(
            config.input_size, config.hidden_size, **config.model_options(), key=key
        )

    def load(self, config, params):
        check_load(self, config, params)
        arrays = self.layout.flat(params)
        shapes = self._shapes(replace(config, carry_init=None))

        def loaded(path, _):
            return own_array(arrays[dotted(path)])

        return jax.tree_util.tree_map_with_path(loaded, shapes)

    @lru_cache(maxsize=32)  # noqa: B019 (a port lives as long as its process)
    def _shapes(self, config):
        """A model with shapes in the place of arrays."""
        return eqx.filter_eval_shape(self.make, config, jax.random.key(0))

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
        return _over_batch(model, x, carry, lengths, resets, reverse, time_major)

    def step(self, model, x, carry=None, *, reset=None):
        checks.check_call(
            x,
            carry,
            reset=reset,
            time=False,
            input_size=model.cell.input_size,
            hidden_size=model.cell.hidden_size,
        )

        def call(x, carry, reset):
            return model.step(x, carry, reset=reset)

        for _ in range(np.ndim(x) - 1):
            call = jax.vmap(call)
        return call(x, carry, reset)


PORT = EquinoxPort()

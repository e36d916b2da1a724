"""A GRU in Flax NNX whose initial state is a parameter, an `nnx.Param`.

The layout of the parameters differs from the canonical one: fused matrices
(features_in, 3H), with the gates in the order r, z, n, are in `cell.dense_i`, with the
bias, and in `cell.dense_h`. b_hn is `cell.hn_bias`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from inspect import signature
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer

from ..common.gru import checks, initializers, recurrence
from ..common.parameters.layouts import Layout, LayoutRow
from ..common.port.names import unknown_phase
from ..common.port.protocol import (
    CallStyle,
    ModelClass,
    Port,
    Program,
    check_config,
    check_load,
    own_array,
)
from ..common.port.styles import functional_program, shared_styles, train_code

__all__ = ["GRU", "PORT", "GRUCell"]


class GRUCell(nnx.RNNCellBase):
    """The default `nnx.GRUCell` with the b_hn that its documentation promises.

    Flax up to 0.12.12 computes n = tanh(W_in x + b_in + r * W_hn h), without b_hn:
    https://github.com/google/flax/issues/5594. This class has it, under the name that
    the proposed fix gives it: https://github.com/google/flax/pull/5595.

    It has no gate_fn, activation_fn, carry_init, promote_dtype, keep_rngs and metadata.
    Initializers are called with the shapes (D, 3H), (H, 3H), (3H,) and (H,); the
    defaults draw each matrix gate by gate, as linen does.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        kernel_init: Callable[..., Any] = initializers.fan_in_per_gate,
        recurrent_kernel_init: Callable[..., Any] = initializers.orthogonal_per_gate,
        bias_init: Callable[..., Any] = nnx.initializers.zeros,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.dense_i = nnx.Linear(
            in_features,
            3 * hidden_features,
            kernel_init=kernel_init,
            bias_init=bias_init,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.dense_h = nnx.Linear(
            hidden_features,
            3 * hidden_features,
            use_bias=False,
            kernel_init=recurrent_kernel_init,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        hn_bias = bias_init(rngs.params(), (hidden_features,), param_dtype)
        self.hn_bias = nnx.Param(hn_bias)

    def __call__(
        self,
        carry: Float[Array, "*batch hidden"],
        inputs: Float[Array, "*batch features"],
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch hidden"]]:
        """Run one time step.

        Returns the next carry and the output, which are the same (*batch, H).
        """
        gi = self.dense_i(inputs)  # (*batch, 3H)
        gh = self.dense_h(carry)  # (*batch, 3H)
        gi_r, gi_z, gi_n = jnp.split(gi, 3, axis=-1)  # each (*batch, H)
        gh_r, gh_z, gh_n = jnp.split(gh, 3, axis=-1)  # each (*batch, H)
        r = jax.nn.sigmoid(gi_r + gh_r)
        z = jax.nn.sigmoid(gi_z + gh_z)
        b_n = jnp.asarray(self.hn_bias[...], gh_n.dtype)
        n = jnp.tanh(gi_n + r * (gh_n + jnp.broadcast_to(b_n, gh_n.shape)))
        h = (1.0 - z) * n + z * carry
        return h, h

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: Callable[..., Any] | None = None,
    ) -> Float[Array, "*batch hidden"]:
        """A carry (*batch, H) for inputs of the shape (*batch, D), as `nnx.RNN` asks.

        It is zeros, or what `carry_init` draws. Raises a ValueError if that has no
        `rngs` to draw by.
        """
        shape = (*input_shape[:-1], self.hidden_features)
        if carry_init is None:
            return jnp.zeros(shape, self.param_dtype)
        if rngs is None:
            raise ValueError("Pass rngs, by which carry_init can draw the carry.")
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return carry_init(stream(), shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        return 1


class GRU(nnx.Module):
    """A GRU that starts from a learned initial carry unless one is passed.

    The equations are those of `trigru.common.equality.oracle`. Raises an InputError for
    a bad size, dtype or option.

    Args:
        in_features: D, features of one input frame.
        hidden_features: H, hidden units.
        carry_init: JAX initializer of the initial carry, called with shape (H,): one
            parameter, from which all sequences start. (That of `nnx.GRUCell` draws a
            start that is not learned.) None means zeros that are not learned.
        kernel_init, recurrent_kernel_init, bias_init: as of `GRUCell`, called with the
            shapes of fused matrices.
        dtype: of the computation; None promotes inputs, parameters and a passed carry.
        param_dtype: of the stored parameters.
        unroll: steps in one iteration of the compiled loop.
        remat: recompute the gates in the backward pass instead of keeping them.
        kernel: "stock" scans `GRUCell`, "fused" runs `common.gru.fused`. Both give
            the same values up to rounding. "auto" chooses by the device and the
            sizes of a call (docs/kernel.md).
        rngs: for the parameters.

    >>> model = GRU(4, 8, carry_init=jax.nn.initializers.normal(0.1), rngs=nnx.Rngs(0))
    >>> x = jnp.ones((2, 5, 4))
    >>> carry, outputs = model(x)
    >>> carry, outputs = model(x, carry)  # the next chunk of the same sequences
    >>> model.initial_carry.shape, carry.shape, outputs.shape
    ((8,), (2, 8), (2, 5, 8))
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        carry_init: Callable[..., Any] | None = nnx.initializers.zeros,
        *,
        kernel_init: Callable[..., Any] = initializers.fan_in_per_gate,
        recurrent_kernel_init: Callable[..., Any] = initializers.orthogonal_per_gate,
        bias_init: Callable[..., Any] = nnx.initializers.zeros,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        unroll: int = 1,
        remat: bool = False,
        kernel: str = "stock",
        rngs: nnx.Rngs,
    ):
        checks.check_model(
            in_features=in_features,
            hidden_features=hidden_features,
            dtype=dtype,
            param_dtype=param_dtype,
            unroll=unroll,
            remat=remat,
            kernel=kernel,
        )
        self.cell = GRUCell(
            in_features,
            hidden_features,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
            bias_init=bias_init,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        if carry_init is None:
            self.initial_carry = _data(None)
        else:
            draw = initializers.for_carry(carry_init, unbox=_unbox)
            initial_carry = draw(rngs.params(), (hidden_features,), param_dtype)
            self.initial_carry = nnx.Param(initial_carry)
        self.unroll = unroll
        self.remat = remat
        self.kernel = kernel

    def __call__(
        self,
        x: Float[Array, "... features"],
        carry: Float[Array, "*batch hidden"] | None = None,
        *,
        lengths: Integer[Array, "*batch"] | None = None,
        resets: Bool[Array, "..."] | None = None,
        reverse: bool = False,
        time_major: bool = False,
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "... hidden"]]:
        """Run over sequences.

        Args:
            x: inputs (*batch, T, D).
            carry: starting state (*batch, H); None starts from the initial carry.
            lengths: valid steps (*batch), as `seq_lengths` of `nnx.RNN`. Later steps
                leave the carry alone, and their outputs are zero.
            resets: (*batch, T). Where true, the state becomes the initial carry before
                that step.
            reverse: run from the last step to the first; outputs stay beside their
                inputs, as with `keep_order=True` in `nnx.RNN`.
            time_major: inputs, resets and outputs are (T, *batch, ...).

        Returns the final carry (*batch, H) and the outputs (*batch, T, H), in the dtype
        of the computation. Raises an InputError for arrays or flags that do not fit
        each other or the model.
        """
        checks.check_call(
            x,
            carry,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            time_major=time_major,
            input_size=self.cell.in_features,
            hidden_size=self.cell.hidden_features,
        )
        loop = recurrence.begin(
            x,
            carry,
            self.get_initial_carry(),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            time_major=time_major,
            dtype=self.cell.dtype,
        )
        if recurrence.is_fused(self.kernel, loop.x):
            weights = recurrence.cast(self._weights(), loop.dtype)
            return loop.run_fused(weights, unroll=self.unroll, remat=self.remat)

        def cell(h, x):
            return self.cell(h, x)[0]

        # This uses jax.lax.scan, since the cell changes nothing. nnx.scan would take
        # the module as an argument, and refuse one that the surrounding jit, grad or
        # scan closes over.
        return loop.run(cell, unroll=self.unroll, remat=self.remat)

    def step(
        self,
        x: Float[Array, "*batch features"],
        carry: Float[Array, "*batch hidden"] | None = None,
        *,
        reset: Bool[Array, "*batch"] | None = None,
    ) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch hidden"]]:
        """Run one time step on x (*batch, D).

        It starts from the initial carry where reset (*batch) is true. Returns the carry
        and the output, which are the same (*batch, H), in the dtype of the computation.
        Raises an InputError for arrays that do not fit each other or the model.
        """
        checks.check_call(
            x,
            carry,
            reset=reset,
            time=False,
            input_size=self.cell.in_features,
            hidden_size=self.cell.hidden_features,
        )
        initial = self.get_initial_carry()  # (H,)
        h, x = recurrence.begin_step(
            x, carry, initial, reset=reset, dtype=self.cell.dtype
        )
        return self.cell(h, x)

    def get_initial_carry(
        self, batch_shape: tuple[int, ...] = ()
    ) -> Float[Array, "*batch hidden"]:
        """The initial carry (*batch_shape, H), in `dtype` or that of the parameters.

        Raises an InputError for a bad shape.
        """
        checks.check_batch_shape(batch_shape)
        shape = (*batch_shape, self.cell.hidden_features)
        initial = None if self.initial_carry is None else self.initial_carry[...]
        dtype = checks.computation_dtype(self.cell.dtype, *self._weights(), initial)
        if initial is None:
            return jnp.zeros(shape, dtype)
        return jnp.broadcast_to(jnp.asarray(initial, dtype), shape)

    def _weights(self):
        cell: Any = self.cell
        return recurrence.Weights(
            kernel_i=cell.dense_i.kernel[...],  # (D, 3H)
            kernel_h=cell.dense_h.kernel[...],  # (H, 3H)
            bias=cell.dense_i.bias[...],  # (3H,)
            bias_n=cell.hn_bias[...],  # (H,)
        )


def _data(value):
    """Marks an attribute that may hold a parameter later, from Flax 0.12 on."""
    return nnx.data(value) if hasattr(nnx, "data") else value


def _unbox(drawn):
    """The array that an initializer drew, without the box of `nnx.with_metadata`."""
    if isinstance(drawn, nnx.VariableMetadata):
        return drawn.raw_value
    return drawn


# The port -----------------------------------------------------------------------------

LAYOUT = Layout(
    "nnx",
    "Flax NNX",
    (
        LayoutRow("dense_i.kernel", "weight_ih", transposed=True),
        LayoutRow("dense_i.bias", "bias"),
        LayoutRow("dense_h.kernel", "weight_hh", transposed=True),
        LayoutRow(
            "hn_bias",
            "bias_n",
            if_absent="it has no hn_bias, as flax's own nnx.GRUCell has none: b_hn is "
            "0.",
        ),
    ),
)


def _construct(key, input_size, hidden_size, **options):
    return GRU(input_size, hidden_size, **options, rngs=nnx.Rngs(params=key))


def _assign(model, other):
    nnx.update(model, nnx.state(other))


CLASS = ModelClass(
    _construct,
    initializers={
        "kernel_init": ("weight_ih",),
        "recurrent_kernel_init": ("weight_hh",),
        "bias_init": ("bias", "bias_n"),
    },
    assign=_assign,
)


# Call styles --------------------------------------------------------------------------

_DOCS = "https://flax.readthedocs.io/en/latest"
_MODULE_IS_PYTREE = hasattr(nnx, "Pytree")  # from Flax 0.12 on
_UPDATE_TAKES_MODEL = "model" in signature(nnx.Optimizer.update).parameters  # from 0.11

_MUST_RETURN = (
    "what a call changes in the module, as dropout's generator, must be returned"
)
_TREE_MODE = (
    "what a call changes in Variables stays changed; a model with shared Variables is "
    "refused, and attributes that a call adds are lost"
)
_STAYS_BOUND = "model.eval() has no effect on what is bound already"


def _split(model):
    """The parameters of a module, and a function that makes a module of them."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def rebuild(params):
        return nnx.merge(graphdef, params, rest)

    return params, rebuild


def _jit(f):
    return nnx.jit(f)


def _in_place(port, model, task, jit=_jit, bind: Any = partial):
    """The program of a style that updates the module and the optimizer in place.

    Args:
        port, model, task: as of `CallStyle.build`.
        jit: f -> the jitted function, or f where `bind` jits it.
        bind: (f, module) or (f, module, optimizer) -> a function of the arrays.
    """
    bound = (model,)
    if task.phase == "train_step":
        bound = (model, nnx.Optimizer(model, task.optimizer, wrt=nnx.Param))

    jitted = jit(_function_of(task))
    call = bind(jitted, *bound)
    if hasattr(jitted, "lower"):
        lower = partial(jitted.lower, *bound)
    else:
        lower = getattr(call, "lower", None)
    return Program(
        call,
        params=lambda: port.dump(model),
        lower=lower,
        leaves=len(jax.tree.leaves(nnx.state(bound))),
        read=port.dump,
    )


def _function_of(task):
    """The function of a task: (module, *arrays), to train (module, optimizer, *arrays).

    It updates the module and the optimizer in place.
    """

    def forward(model, *arrays):
        return task.predict(model, *arrays)

    def gradient(model, *arrays):
        return nnx.value_and_grad(task.objective)(model, *arrays)

    def train_step(model, optimizer, *arrays):
        loss, gradients = gradient(model, *arrays)
        if _UPDATE_TAKES_MODEL:
            optimizer.update(model, gradients)
        else:
            optimizer.update(gradients)
        return loss

    if task.phase == "train_step":
        return train_step
    if task.phase == "gradient":
        return gradient
    if task.phase in ("forward", "step"):
        return forward
    raise unknown_phase(task.phase, "_function_of in impls/nnx.py")


def _jit_as_tree(f):
    return nnx.jit(f, graph=False)


def _not_jitted(f):
    return f


def _jit_partial(f, *bound):
    return nnx.jit_partial(f, *bound, graph=False)


def _cached_partial(f, *bound):
    return nnx.cached_partial(f, *bound)


def _no_tree_mode():
    if "graph" in signature(nnx.jit).parameters:
        return None
    return "this flax's jit has no graph="


def _no_jit_partial():
    return None if hasattr(nnx, "jit_partial") else "this flax has no nnx.jit_partial"


def _no_cached_partial():
    if hasattr(nnx, "cached_partial"):
        return None
    return "this flax has no nnx.cached_partial"


def _no_pytree():
    return None if _MODULE_IS_PYTREE else "a module is a pytree from flax 0.12 on"


CALL_STYLES = (
    CallStyle(
        "nnx.jit",
        "call = nnx.jit(f)\ncall(model, x)",
        _in_place,
        "train = nnx.jit(train_step)\nloss = train(model, optimizer, x, targets)",
        source=f"{_DOCS}/nnx_basics.html",
    ),
    CallStyle(
        "nnx.jit-tree",
        "call = nnx.jit(f, graph=False)\ncall(model, x)",
        partial(_in_place, jit=_jit_as_tree),
        "train = nnx.jit(train_step, graph=False)\n"
        "loss = train(model, optimizer, x, targets)",
        missing=_no_tree_mode,
        source=f"{_DOCS}/flip/5310-tree-mode-nnx.html",
        caution=_TREE_MODE,
        keeps_updates=True,
    ),
    CallStyle(
        "jit_partial",
        "call = nnx.jit_partial(f, model, graph=False)\ncall(x)",
        partial(_in_place, jit=_not_jitted, bind=_jit_partial),
        "train = nnx.jit_partial(train_step, model, optimizer, graph=False)\n"
        "loss = train(x, targets)",
        missing=_no_jit_partial,
        source="https://github.com/google/flax/blob/main/flax/nnx/transforms/"
        "compilation.py",
        caution=f"{_TREE_MODE}; {_STAYS_BOUND}",
        keeps_updates=True,
    ),
    CallStyle(
        "cached_partial",
        "call = nnx.cached_partial(nnx.jit(f), model)\ncall(x)",
        partial(_in_place, bind=_cached_partial),
        "train = nnx.cached_partial(nnx.jit(train_step), model, optimizer)\n"
        "loss = train(x, targets)",
        missing=_no_cached_partial,
        source=f"{_DOCS}/guides/performance.html",
        caution="a call may not change the module's structure, as a new attribute "
        f"does; {_STAYS_BOUND}",
    ),
    CallStyle(
        "pytree",
        "call = jax.jit(f)\ncall(model, x)",
        functional_program,
        train_code("jax.jit(train_step)", "model"),
        missing=_no_pytree,
        source=f"{_DOCS}/guides/pytree.html",
        caution=_MUST_RETURN,
    ),
    *shared_styles(
        _split,
        name="split-merge",
        split_code="graphdef, params, rest = nnx.split(model, nnx.Param, ...)",
        call_code="f(nnx.merge(graphdef, {}, rest), x)",
        caution=_MUST_RETURN,
    ),
)


# The protocol -------------------------------------------------------------------------


class NNXPort(Port):
    """`trigru.common.Port` of Flax NNX."""

    name = "nnx"
    title = "Flax NNX"
    packages = ("flax", "jax", "jaxlib")
    layout = LAYOUT
    model_class = CLASS if _MODULE_IS_PYTREE else None
    call_styles = CALL_STYLES

    def make(self, config, key) -> Any:
        check_config(self, config)
        # The module may draw from no other stream than the one that it names.
        return self._gru(config, nnx.Rngs(params=key))

    def _gru(self, config, rngs) -> Any:
        return GRU(
            config.input_size, config.hidden_size, **config.model_options(), rngs=rngs
        )

    def load(self, config, params) -> Any:
        check_load(self, config, params)
        arrays = jax.tree.map(own_array, self.layout.tree(params))
        model = nnx.clone(self._shapes(replace(config, carry_init=None)))
        nnx.update(model, arrays)
        return model

    @lru_cache(maxsize=32)  # noqa: B019 (a port lives as long as its process)
    def _shapes(self, config) -> Any:
        """A model with shapes in the place of arrays."""
        return nnx.eval_shape(lambda: self.make(config, jax.random.key(0)))

    def dump(self, tree):
        state = tree if isinstance(tree, nnx.State) else nnx.state(tree)
        if hasattr(nnx, "to_pure_dict"):  # from Flax 0.10.6 on
            return super().dump(nnx.to_pure_dict(state))
        return super().dump(state.to_pure_dict())

    def value_and_grad(self, function, *, has_aux=False):
        def differentiated(*arguments):
            argnums = tuple(range(len(arguments)))
            gradient = nnx.value_and_grad(function, argnums=argnums, has_aux=has_aux)
            return gradient(*arguments)

        return differentiated


PORT = NNXPort()

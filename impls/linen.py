"""A GRU in Flax linen whose initial state is a parameter, made by `self.param`.

The layout of the parameters differs from the canonical one: each gate has matrices of
its own (features_in, features_out), one for each side, `cell/{ir,iz,in,hr,hz,hn}`. b_hn
is the bias of `cell/hn`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer

from ..common.gru import checks, initializers, recurrence
from ..common.parameters.layouts import Layout, LayoutRow
from ..common.port.protocol import (
    CallStyle,
    ModelClass,
    Port,
    check_config,
    check_load,
    own_array,
)
from ..common.port.styles import carrying_program, shared_styles

__all__ = ["GRU", "PORT", "Model"]


class GRU(nn.Module):
    """A GRU that starts from a learned initial carry unless one is passed.

    The equations are those of `trigru.common.equality.oracle`. Raises an InputError for
    a bad size, dtype or option.

    Args:
        features: H, hidden units.
        carry_init: JAX initializer of the initial carry, called with shape (H,): one
            parameter, from which all sequences start. (That of `nn.GRUCell` draws a
            start that is not learned.) None means zeros that are not learned.
        dtype: of the computation; None promotes inputs, parameters and a passed carry.
        param_dtype: of the stored parameters.
        unroll: steps in one iteration of the compiled loop.
        remat: recompute the gates in the backward pass instead of keeping them.
        kernel: "stock" scans `nn.GRUCell`, "fused" runs `common.gru.fused`. Both give
            the same values up to rounding. "auto" chooses by the device and the
            sizes of a call (docs/kernel.md).
        kernel_init, recurrent_kernel_init, bias_init: initializers of each gate, as of
            `nn.GRUCell`.

    >>> model = GRU(features=8, carry_init=nn.initializers.normal(0.1))
    >>> x = jnp.ones((2, 5, 4))
    >>> variables = model.init(jax.random.key(0), x)
    >>> carry, outputs = model.apply(variables, x)
    >>> # the next chunk of the same sequences
    >>> carry, outputs = model.apply(variables, x, carry)
    >>> variables["params"]["initial_carry"].shape, carry.shape, outputs.shape
    ((8,), (2, 8), (2, 5, 8))
    """

    features: int
    carry_init: Callable[..., Any] | None = nn.initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    unroll: int = 1
    remat: bool = False
    kernel: str = "stock"
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    recurrent_kernel_init: Callable[..., Any] = initializers.orthogonal
    bias_init: Callable[..., Any] = nn.initializers.zeros

    def setup(self):
        checks.check_model(
            features=self.features,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            unroll=self.unroll,
            remat=self.remat,
            kernel=self.kernel,
        )
        self.cell = nn.GRUCell(
            self.features,
            kernel_init=self.kernel_init,
            recurrent_kernel_init=self.recurrent_kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        self.initial_carry = None
        if self.carry_init is not None:
            draw = initializers.for_carry(self.carry_init, unbox=nn.meta.unbox)
            shape = (self.features,)
            self.initial_carry = self.param(
                "initial_carry", draw, shape, self.param_dtype
            )

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
            lengths: valid steps (*batch), as `seq_lengths` of `nn.RNN`. Later steps
                leave the carry alone, and their outputs are zero.
            resets: (*batch, T). Where true, the state becomes the initial carry before
                that step.
            reverse: run from the last step to the first; outputs stay beside their
                inputs, as with `keep_order=True` in `nn.RNN`.
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
            input_size=self._input_size(),
            hidden_size=self.features,
        )
        self._make_parameters(x)
        loop = recurrence.begin(
            x,
            carry,
            self.get_initial_carry(),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            time_major=time_major,
            dtype=self.dtype,
        )
        if recurrence.is_fused(self.kernel, loop.x):
            weights = self._weights(loop.dtype)
            return loop.run_fused(weights, unroll=self.unroll, remat=self.remat)

        def advance(gru, h, inputs):
            def cell(h, x):
                return gru.cell(h, x)[0]

            return loop.advance(cell, h, inputs)

        if self.remat:
            prevent_cse = recurrence.prevent_cse(self.unroll, loop.x)
            advance = nn.remat(advance, prevent_cse=prevent_cse)
        scan = nn.scan(
            advance,
            variable_broadcast="params",
            split_rngs={"params": False},
            out_axes=loop.time_axis,
            reverse=reverse,
            unroll=self.unroll,
        )
        return scan(self, loop.h, loop.by_time)

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
            input_size=self._input_size(),
            hidden_size=self.features,
        )
        self._make_parameters(x)
        initial = self.get_initial_carry()  # (H,)
        h, x = recurrence.begin_step(x, carry, initial, reset=reset, dtype=self.dtype)
        return self.cell(h, x)

    def get_initial_carry(
        self, batch_shape: tuple[int, ...] = ()
    ) -> Float[Array, "*batch hidden"]:
        """The initial carry (*batch_shape, H), in `dtype` or that of the parameters.

        Raises an InputError for a bad shape.
        """
        checks.check_batch_shape(batch_shape)
        params = jax.tree.leaves((self._cell_params(), self.initial_carry))
        if not params:  # before the cell makes them
            params = [jnp.zeros((), self.param_dtype)]
        dtype = checks.computation_dtype(self.dtype, *params)
        shape = (*batch_shape, self.features)
        if self.initial_carry is None:
            return jnp.zeros(shape, dtype)
        return jnp.broadcast_to(jnp.asarray(self.initial_carry, dtype), shape)

    def _cell_params(self):
        """The cell's parameters without boxes.

        There are none before the cell makes them, in `init` or with
        `mutable=["params"]`.
        """
        params = self.variables.get("params", {})
        return nn.meta.unbox(params.get("cell", {}))

    def _input_size(self):
        """D; None before the cell makes its parameters."""
        params = self._cell_params()
        return params["in"]["kernel"].shape[0] if params else None

    def _make_parameters(self, x):
        """Let the cell make its parameters, before a loop calls it.

        It makes them in its first call.
        """
        if not self._cell_params():
            h = jnp.zeros((1, self.features), self.param_dtype)
            x = jnp.zeros((1, x.shape[-1]), self.param_dtype)
            self.cell(h, x)

    def _weights(self, dtype):
        cell = recurrence.cast(self._cell_params(), dtype)
        kernels_i = [cell[name]["kernel"] for name in ("ir", "iz", "in")]
        kernels_h = [cell[name]["kernel"] for name in ("hr", "hz", "hn")]
        biases = [cell[name]["bias"] for name in ("ir", "iz", "in")]
        return recurrence.Weights(
            kernel_i=jnp.concatenate(kernels_i, axis=1),  # (D, 3H)
            kernel_h=jnp.concatenate(kernels_h, axis=1),  # (H, 3H)
            bias=jnp.concatenate(biases),  # (3H,)
            bias_n=cell["hn"]["bias"],  # (H,)
        )


# The port -----------------------------------------------------------------------------

LAYOUT = Layout(
    "linen",
    "Flax linen",
    (
        LayoutRow("ir.kernel", "weight_ih", "r", transposed=True),
        LayoutRow("iz.kernel", "weight_ih", "z", transposed=True),
        LayoutRow("in.kernel", "weight_ih", "n", transposed=True),
        LayoutRow("ir.bias", "bias", "r"),
        LayoutRow("iz.bias", "bias", "z"),
        LayoutRow("in.bias", "bias", "n"),
        LayoutRow("hr.kernel", "weight_hh", "r", transposed=True),
        LayoutRow("hz.kernel", "weight_hh", "z", transposed=True),
        LayoutRow("hn.kernel", "weight_hh", "n", transposed=True),
        LayoutRow("hn.bias", "bias_n"),
    ),
)


@flax.struct.dataclass
class Model:
    """A linen module with its parameters; a call applies it."""

    params: Any
    module: nn.Module = flax.struct.field(pytree_node=False)

    def __call__(self, *arguments, **options):
        return self.module.apply({"params": self.params}, *arguments, **options)


def _construct(key, input_size, hidden_size, **options):
    return _initialized(GRU(hidden_size, **options), key, input_size)


def _initialized(module, key, input_size):
    x = jnp.ones((1, 1, input_size), module.param_dtype)
    variables = module.init(key, x)
    return Model(variables["params"], module)


CLASS = ModelClass(
    _construct,
    initializers={
        "kernel_init": ("weight_ih",),
        "recurrent_kernel_init": ("weight_hh",),
        "bias_init": ("bias", "bias_n"),
    },
    gates_apart=True,
)


# Call styles --------------------------------------------------------------------------

_DOCS = "https://flax-linen.readthedocs.io/en/latest"


def _split(model):
    """The parameters of a model, and a function that makes a model of them."""

    def rebuild(params):
        return Model(params, model.module)

    return model.params, rebuild


def _train_state(port, model, task):
    """The program of a train step on Flax's `TrainState`.

    It holds the parameters, the optimizer's state and the number of steps.
    """

    def loss_of(params, *arrays):
        return task.objective(Model(params, model.module), *arrays)

    @jax.jit
    def train_step(state, *arrays):
        loss, gradients = jax.value_and_grad(loss_of)(state.params, *arrays)
        return state.apply_gradients(grads=gradients), loss

    def rebuild(state):
        return Model(state.params, model.module)

    state = TrainState.create(
        apply_fn=model.module.apply, params=model.params, tx=task.optimizer
    )
    return carrying_program(port, train_step, [state], rebuild, trains=True)


CALL_STYLES = (
    CallStyle(
        "train_state",
        "train = jax.jit(train_step)  # returns state.apply_gradients(...), loss\n"
        "state, loss = train(state, x, targets)",
        _train_state,
        phases=("train_step",),
        source=f"{_DOCS}/quick_start.html",
    ),
    *shared_styles(
        _split,
        name="apply",
        call_code="module.apply({{'params': {}}}, x)",
        source=f"{_DOCS}/guides/flax_fundamentals/flax_basics.html",
    ),
)


# The protocol -------------------------------------------------------------------------


class LinenPort(Port):
    """`trigru.common.Port` of Flax linen."""

    name = "linen"
    title = "Flax linen"
    packages = ("flax", "jax", "jaxlib")
    layout = LAYOUT
    model_class = CLASS
    call_styles = CALL_STYLES

    def make(self, config, key):
        check_config(self, config)
        return _initialized(self._gru(config), key, config.input_size)

    def _gru(self, config) -> Any:
        return GRU(config.hidden_size, **config.model_options())

    def load(self, config, params):
        check_load(self, config, params)
        arrays = jax.tree.map(own_array, self.layout.tree(params))
        return Model(arrays, self._gru(config))

    def dump(self, tree):
        return super().dump(tree.params)

    def step(self, model, x, carry=None, *, reset=None):
        return model(x, carry, reset=reset, method="step")

    def initial_carry(self, model, batch_shape=()):
        return model(batch_shape, method="get_initial_carry")


PORT = LinenPort()

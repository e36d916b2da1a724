"""Keras's GRU with a learned initial state, on the JAX backend: `keras.layers.GRU` and one `add_weight`.

The equations are the oracle's, because of `reset_after=True`, which is the default. The order of the gates is z, r, h.
There are two biases where the model has one, so under Adam it trains differently after the first step, like torch.

    kernel = (W_iz, W_ir, W_in)^T                       (D, 3H)
    recurrent_kernel = (W_hz, W_hr, W_hn)^T             (H, 3H)
    bias = (b_iz, b_ir, b_in), (0, 0, b_hn)             (2, 3H)

The environment variable KERAS_BACKEND chooses the backend, once in a process, before Keras is imported.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# If the library is not installed, a type checker takes this module, which has its name, for the library.

import os
from typing import Any

if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
    raise ImportError(f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, expected 'jax', or no such variable.")

import jax
import keras
import numpy as np
import optax

from ....common.config import GRUConfig
from ....common.errors import UnavailableError
from ....common.parameters.record import ClassifierParams, GRUParams, ReadoutParams
from ....common.port.protocol import Params, Program
from ....common.port.task import cross_entropy, mean_squared_error
from ..admission import LEARNING_RATE, OPTIMIZER
from . import Peer, PeerStyle

if keras.backend.backend() != "jax":
    raise ImportError(
        f"Keras was imported with the backend {keras.backend.backend()!r}, expected 'jax'. "
        "Set KERAS_BACKEND=jax in the environment."
    )


class LearnedGRU(keras.Model):
    """A GRU that starts from a learned state, with a readout of its final carry where there are classes."""

    def __init__(self, hidden_size: int, classes: int | None = None, return_state: bool = True, **options: Any):
        super().__init__(**options)
        self.return_state = return_state
        self.gru: Any = keras.layers.GRU(hidden_size, return_sequences=True, return_state=True, dtype=self.dtype_policy)
        self.readout: Any = None if classes is None else keras.layers.Dense(classes, dtype=self.dtype_policy)

    def build(self, input_shape):
        """Make the weights for inputs (B, T, D), alone or with lengths (B,)."""
        x_shape = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        self.initial_carry = self.add_weight(shape=(self.gru.units,), initializer="zeros", name="initial_carry")
        self.gru.build(x_shape)
        if self.readout is not None:
            self.readout.build((x_shape[0], self.gru.units))
        self.built = True

    def call(self, inputs):
        """Carry (B, H) and outputs (B, T, H) of x, or of x and lengths; logits (B, C) where there is a readout.

        Without return_state, only the outputs.
        """
        x, lengths = inputs if isinstance(inputs, tuple | list) else (inputs, None)
        batch, time, _ = x.shape
        carry = keras.ops.broadcast_to(self.initial_carry, (batch, self.gru.units))
        mask = None
        if lengths is not None:
            mask = keras.ops.expand_dims(keras.ops.arange(time), 0) < lengths[:, None]  # (B, T)
        outputs, carry = self.gru(x, initial_state=carry, mask=mask)
        if self.readout is not None:
            return self.readout(carry)
        return (carry, outputs) if self.return_state else outputs

    def step(self, frame, carry):
        """Carry and output, both (B, H), of one frame (B, D)."""
        output, (carry,) = self.gru.cell(frame, [carry])
        return carry, output


def _stateless(config: GRUConfig, params: Params, phase: str) -> Program:
    model = _load(config, params)
    loss = mean_squared_error if config.classes is None else cross_entropy
    trainable = [variable.value for variable in model.trainable_variables]
    fixed = [variable.value for variable in model.non_trainable_variables]  # the seed of a dropout that is not used
    places = _places(model)

    def forward(trainable, fixed, x, *lengths):
        return model.stateless_call(trainable, fixed, _inputs(x, *lengths))[0]

    def step(trainable, fixed, frame, carry):
        scope = keras.StatelessScope(
            state_mapping=[
                *zip(model.trainable_variables, trainable, strict=True),
                *zip(model.non_trainable_variables, fixed, strict=True),
            ]
        )
        with scope:
            return model.step(frame, carry)

    def objective(trainable, fixed, x, targets, *lengths):
        return loss(forward(trainable, fixed, x, *lengths), targets)

    gradient = jax.value_and_grad(objective)

    def train_step(trainable, state, fixed, *arrays):
        found, gradients = gradient(trainable, fixed, *arrays)
        updates, state = OPTIMIZER.update(gradients, state, trainable)
        return optax.apply_updates(trainable, updates), state, found

    if phase == "train_step":
        jitted, state = jax.jit(train_step), OPTIMIZER.init(trainable)

        def call(*arrays):
            nonlocal trainable, state
            trainable, state, found = jitted(trainable, state, fixed, *arrays)
            return found

    else:
        jitted, state = jax.jit({"forward": forward, "gradient": gradient, "step": step}[phase]), None

        def call(*arrays):
            return jitted(trainable, fixed, *arrays)

    def lower(*arrays):
        if phase == "train_step":
            return jitted.lower(trainable, state, fixed, *arrays)
        return jitted.lower(trainable, fixed, *arrays)

    leaves = len(jax.tree.leaves((trainable, state, fixed)))
    return Program(call, lambda: _dump(trainable, places), lower, leaves, lambda found: _dump(found, places))


def _on_batch(config: GRUConfig, params: Params, phase: str) -> Program:
    if phase not in ("forward", "train_step"):
        raise UnavailableError(f"keras[train_on_batch] has no {phase}: Keras gives it by no method of a model.")
    model = _load(config, params, return_state=phase == "forward")  # Keras compares each result with a target
    loss = (
        keras.losses.MeanSquaredError()
        if config.classes is None
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    # Keras adds epsilon before the bias correction of the second moment, optax after it. At the first step, this value
    # equals optax's 1e-8.
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8 * (1 - 0.999) ** 0.5), loss=loss)
    model.optimizer.build(model.trainable_variables)
    places = _places(model)

    def train_step(x, targets, *lengths):
        return model.train_on_batch(_inputs(x, *lengths), targets)

    def forward(x, *lengths):
        return model.predict_on_batch(_inputs(x, *lengths))

    def read(_: Any) -> Params:
        raise UnavailableError("keras[train_on_batch] has no gradient.")

    variables = [*model.trainable_variables, *model.non_trainable_variables]
    if phase == "train_step":
        variables += [*model.optimizer.variables, *model.metrics_variables]
    return Program(
        call=train_step if phase == "train_step" else forward,
        params=lambda: _dump([variable.value for variable in model.trainable_variables], places),
        lower=None,  # Keras does not hand out its jitted function, which donates its arguments
        leaves=len(variables),
        read=read,
    )


def _load(config: GRUConfig, params: Params, return_state: bool = True) -> LearnedGRU:
    model = LearnedGRU(config.hidden_size, config.classes, return_state, dtype=config.param_dtype)
    model.build((None, None, config.input_size))
    gru = params.gru if isinstance(params, ClassifierParams) else params
    bias_n = np.asarray(gru.bias_n)
    recurrent_bias = np.concatenate([np.zeros(2 * config.hidden_size, bias_n.dtype), bias_n])
    cell = model.gru.cell
    model.initial_carry.assign(gru.initial_carry)
    cell.kernel.assign(_swap_gates(gru.weight_ih).T)
    cell.recurrent_kernel.assign(_swap_gates(gru.weight_hh).T)
    cell.bias.assign(np.stack([_swap_gates(gru.bias), recurrent_bias]))
    if isinstance(params, ClassifierParams):
        model.readout.kernel.assign(np.asarray(params.readout.weight).T)
        model.readout.bias.assign(params.readout.bias)
    return model


def _inputs(x: Any, *lengths: Any) -> Any:
    """The one argument that a Keras model is called with: an array, or a tuple of arrays."""
    return (x, *lengths) if lengths else x


def _places(model: LearnedGRU) -> dict[str, int]:
    """The place of each weight in Keras's list of trainable variables."""
    cell = model.gru.cell
    weights = {
        "initial_carry": model.initial_carry,
        "kernel": cell.kernel,
        "recurrent_kernel": cell.recurrent_kernel,
        "bias": cell.bias,
    }
    if model.readout is not None:
        weights |= {"readout.kernel": model.readout.kernel, "readout.bias": model.readout.bias}
    found = [id(variable) for variable in model.trainable_variables]
    return {name: found.index(id(weight)) for name, weight in weights.items()}


def _dump(trainable: Any, places: dict[str, int]) -> Params:
    arrays = {name: np.asarray(trainable[place]) for name, place in places.items()}
    input_bias, recurrent_bias = arrays["bias"]
    gru = GRUParams(
        weight_ih=_swap_gates(arrays["kernel"].T),
        weight_hh=_swap_gates(arrays["recurrent_kernel"].T),
        bias=_swap_gates(input_bias),
        bias_n=np.split(recurrent_bias, 3)[2],
        initial_carry=arrays["initial_carry"],
    )
    if "readout.kernel" not in arrays:
        return gru
    return ClassifierParams(gru, ReadoutParams(arrays["readout.kernel"].T, arrays["readout.bias"]))


def _swap_gates(stacked: Any) -> np.ndarray:
    """From r, z, n to z, r, n, or back."""
    first, second, last = np.split(np.asarray(stacked), 3)
    return np.concatenate([second, first, last])


PEER = Peer(
    name="keras",
    title="Keras (JAX)",
    packages=("keras",),
    call_styles=(
        PeerStyle("stateless", "jax.jit(model.stateless_call)", _stateless),
        PeerStyle("train_on_batch", "model.train_on_batch(x, y); model.predict_on_batch(x)", _on_batch),
    ),
)

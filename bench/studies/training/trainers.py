"""A GRU with a linear readout in each framework, with the state of its optimiser: one training loop for all.

Each framework's parameters are one pytree, which goes in and out of `jax.jit`. docs/recipes/training.md has the loops
that users of each framework write.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import optax
from experiments import Experiment, Minibatch
from flax import nnx
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import ClassifierParams
from trigru.impls import equinox, linen, pure
from trigru.impls import nnx as nnx_port


class LinenReader(nn.Module):
    """The GRU with a linear readout of its final carry, or of every step's output."""

    gru: nn.Module
    outputs: int
    every_step: bool

    @nn.compact
    def __call__(self, x, lengths=None):
        carry, outputs = self.gru(x, lengths=lengths)
        dense = nn.Dense(self.outputs, param_dtype=self.gru.param_dtype, name="readout")
        return dense(outputs if self.every_step else carry)


# Of each framework, from a model: its parameters; what makes a model of them; what predicts with a model.


def in_pure(model: Any, every_step: bool) -> Any:
    """Plain JAX, which the others are compared with."""

    def predict(model, x, lengths=None):
        carry, outputs = pure.gru(model.params.gru, x, lengths=lengths)
        return (outputs if every_step else carry) @ model.params.kernel + model.params.bias

    return model, lambda model: model, predict


def in_linen(model: Any, every_step: bool) -> Any:
    """Flax linen."""
    reader = LinenReader(model.module.gru.clone(), model.module.classes, every_step)

    def predict(model, x, lengths=None):
        return reader.apply({"params": model.params}, x, lengths)

    return model.params, lambda params: linen.Model(params, model.module), predict


def in_nnx(model: Any, every_step: bool) -> Any:
    """Flax NNX."""

    def predict(model, x, lengths=None):
        carry, outputs = model.gru(x, lengths=lengths)
        return model.readout(outputs if every_step else carry)

    graphdef, state = nnx.split(model)
    return state, lambda state: nnx.merge(graphdef, state), predict


def in_equinox(model: Any, every_step: bool) -> Any:
    """Equinox, whose modules take one example."""

    def read(model, x, lengths=None):
        carry, outputs = model.gru(x, lengths=lengths)
        return jax.vmap(model.readout)(outputs) if every_step else model.readout(carry)

    def predict(model, x, lengths=None):
        return jax.vmap(lambda *arrays: read(model, *arrays))(x, lengths)

    arrays, static = eqx.partition(model, eqx.is_array)
    return arrays, lambda arrays: eqx.combine(arrays, static), predict


#: The port, and the function above. No experiment trains in plain JAX, the first.
FRAMEWORKS: dict[str, tuple[Any, Callable[[Any, bool], Any]]] = {
    "pure": (pure.PORT, in_pure),
    "linen": (linen.PORT, in_linen),
    "nnx": (nnx_port.PORT, in_nnx),
    "equinox": (equinox.PORT, in_equinox),
}


class Trainer:
    """A framework's model and optimiser. Its functions are compiled once; `start` resets the state."""

    def __init__(self, framework: str, experiment: Experiment, config: GRUConfig, tx: optax.GradientTransformation):
        self.port, self.split = FRAMEWORKS[framework]
        self.config, self.tx = config, tx
        model = self.port.make(config, jax.random.key(0))
        _, self.rebuild, predict = self.split(model, experiment.every_step)

        def train_step(tree, state, batch):
            def objective(tree):
                return experiment.loss(predict(self.rebuild(tree), batch.x, batch.lengths), batch.targets)

            loss, gradients = jax.value_and_grad(objective)(tree)
            updates, state = tx.update(gradients, state, tree)
            return optax.apply_updates(tree, updates), state, loss

        self._train_step = jax.jit(train_step)
        self._predict = jax.jit(lambda tree, x, lengths=None: predict(self.rebuild(tree), x, lengths))

    def start(self, params: ClassifierParams) -> None:
        """Start from these parameters, with a new optimiser state."""
        self.tree, *_ = self.split(self.port.load(self.config, params), False)
        self.state = self.tx.init(self.tree)

    def step(self, batch: Minibatch) -> Any:
        """One optimiser step on a minibatch; returns the loss before it, a scalar on the device."""
        self.tree, self.state, loss = self._train_step(self.tree, self.state, batch)
        return loss

    def predict(self, data: Minibatch) -> Any:
        """Predictions of the last valid step (B, C), or of every step (B, T, C)."""
        return self._predict(self.tree, data.x, data.lengths)

    def params(self) -> ClassifierParams:
        """The current parameters, as NumPy arrays in canonical layout."""
        return self.port.dump(self.rebuild(self.tree))

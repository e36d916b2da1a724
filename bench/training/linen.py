"""Training in Flax linen: the jitted step takes a record of parameters and optimiser state, and returns a new one."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import optax

from ...impls.linen import PORT, Model


class Reader(nn.Module):
    """The GRU with a linear readout of its final carry, or of every step's output."""

    gru: nn.Module
    outputs: int
    every_step: bool

    @nn.compact
    def __call__(self, x, lengths=None):
        carry, outputs = self.gru(x, lengths=lengths)
        dense = nn.Dense(self.outputs, param_dtype=self.gru.param_dtype, name="readout")
        return dense(outputs if self.every_step else carry)


class TrainState(flax.struct.PyTreeNode):
    """All that changes while training."""

    params: Any
    opt_state: optax.OptState


class Trainer:
    """`trigru.bench.training.Trainer` of Flax linen."""

    def __init__(self, config, tx, loss, *, every_step=False):
        self.config, self.tx = config, tx
        self.template = PORT.make(config, jax.random.key(0)).module
        reader = Reader(self.template.gru.clone(), config.classes, every_step)

        def predict(params, x, lengths=None):
            return reader.apply({"params": params}, x, lengths)

        def train_step(state, batch):
            def objective(params):
                return loss(predict(params, batch.x, batch.lengths), batch.targets)

            value, gradients = jax.value_and_grad(objective)(state.params)
            updates, opt_state = tx.update(gradients, state.opt_state, state.params)
            return state.replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state), value

        self._train_step = jax.jit(train_step)
        self._predict = jax.jit(predict)

    def start(self, params):
        tree = PORT.load(self.config, params).params
        self.state = TrainState(tree, self.tx.init(tree))

    def step(self, batch):
        self.state, loss = self._train_step(self.state, batch)
        return loss

    def predict(self, x, lengths=None):
        return self._predict(self.state.params, x, lengths)

    def params(self):
        return PORT.dump(Model(self.state.params, self.template))

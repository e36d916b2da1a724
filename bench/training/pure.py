"""Training in plain JAX: the frameworks' loops are compared with it. No experiment trains with it."""

import jax
import jax.numpy as jnp
import optax

from ...impls.pure import PORT, gru


class Trainer:
    """`trigru.bench.training.Trainer` of plain JAX."""

    def __init__(self, config, tx, loss, *, every_step=False):
        self.config, self.tx = config, tx

        def predict(model, x, lengths=None):
            params = model.params
            carry, outputs = gru(params.gru, x, lengths=lengths)
            logits = (outputs if every_step else carry) @ params.kernel
            return logits + jnp.broadcast_to(params.bias, logits.shape)

        def train_step(model, opt_state, batch):
            def objective(model):
                return loss(predict(model, batch.x, batch.lengths), batch.targets)

            value, gradients = jax.value_and_grad(objective)(model)
            updates, opt_state = tx.update(gradients, opt_state, model)
            return optax.apply_updates(model, updates), opt_state, value

        self._train_step = jax.jit(train_step)
        self._predict = jax.jit(predict)

    def start(self, params):
        self.model = PORT.load(self.config, params)
        self.opt_state = self.tx.init(self.model)

    def step(self, batch):
        self.model, self.opt_state, loss = self._train_step(self.model, self.opt_state, batch)
        return loss

    def predict(self, x, lengths=None):
        return self._predict(self.model, x, lengths)

    def params(self):
        return PORT.dump(self.model)

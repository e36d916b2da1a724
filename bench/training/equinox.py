"""Training in Equinox: the module is the pytree of parameters. Gradients and optimiser see only its arrays."""

import equinox as eqx
import jax

from ...impls.equinox import GRU, PORT


class Reader(eqx.Module):
    """The GRU with a linear readout of its final carry, or of every step's output. Takes one example."""

    gru: GRU
    readout: eqx.nn.Linear
    every_step: bool = eqx.field(static=True)

    def __call__(self, x, lengths=None):
        carry, outputs = self.gru(x, lengths=lengths)
        return jax.vmap(self.readout)(outputs) if self.every_step else self.readout(carry)


class Trainer:
    """`trigru.bench.training.Trainer` of Equinox."""

    def __init__(self, config, tx, loss, *, every_step=False):
        self.config, self.tx, self.every_step = config, tx, every_step

        @eqx.filter_jit
        def predict(model, x, lengths=None):
            return jax.vmap(model)(x, lengths)

        @eqx.filter_jit
        def train_step(model, opt_state, batch):
            @eqx.filter_value_and_grad
            def objective(model):
                return loss(predict(model, batch.x, batch.lengths), batch.targets)

            value, gradients = objective(model)
            updates, opt_state = tx.update(gradients, opt_state, eqx.filter(model, eqx.is_array))
            return eqx.apply_updates(model, updates), opt_state, value

        self._train_step = train_step
        self._predict = predict

    def start(self, params):
        self.classifier = PORT.load(self.config, params)
        self.model = Reader(self.classifier.gru, self.classifier.readout, self.every_step)
        self.opt_state = self.tx.init(eqx.filter(self.model, eqx.is_array))

    def step(self, batch):
        self.model, self.opt_state, loss = self._train_step(self.model, self.opt_state, batch)
        return loss

    def predict(self, x, lengths=None):
        return self._predict(self.model, x, lengths)

    def params(self):
        parts = self.model.gru, self.model.readout
        return PORT.dump(eqx.tree_at(lambda c: (c.gru, c.readout), self.classifier, parts))

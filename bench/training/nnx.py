"""Training in Flax NNX: the jitted step updates the module and its optimiser in place."""

from flax import nnx

from ...impls.nnx import PORT


class Reader(nnx.Module):
    """The GRU with a linear readout of its final carry, or of every step's output."""

    def __init__(self, gru, readout, every_step):
        self.gru = gru
        self.readout = readout
        self.every_step = every_step

    def __call__(self, x, lengths=None):
        carry, outputs = self.gru(x, lengths=lengths)
        return self.readout(outputs if self.every_step else carry)


class Trainer:
    """`trigru.bench.training.Trainer` of Flax NNX."""

    def __init__(self, config, tx, loss, *, every_step=False):
        self.config, self.tx, self.every_step = config, tx, every_step

        @nnx.jit
        def train_step(model, optimizer, batch):
            def objective(model):
                return loss(model(batch.x, batch.lengths), batch.targets)

            value, gradients = nnx.value_and_grad(objective)(model)
            optimizer.update(model, gradients)
            return value

        @nnx.jit
        def predict(model, x, lengths=None):
            return model(x, lengths)

        self._train_step = train_step
        self._predict = predict

    def start(self, params):
        classifier = PORT.load(self.config, params)
        self.model = Reader(classifier.gru, classifier.readout, self.every_step)
        self.optimizer = nnx.Optimizer(self.model, self.tx, wrt=nnx.Param)

    def step(self, batch):
        return self._train_step(self.model, self.optimizer, batch)

    def predict(self, x, lengths=None):
        return self._predict(self.model, x, lengths)

    def params(self):
        return PORT.dump(self.model)

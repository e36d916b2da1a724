"""A faulty port of Flax NNX."""

from flax import nnx

from ..nnx import NNXPort


class InPlace(NNXPort):
    """Loads into the model that it has."""

    def __init__(self):
        self._known = {}

    def load(self, config, params):
        loaded = super().load(config, params)
        known = self._known.setdefault(config, loaded)
        nnx.update(known, nnx.state(loaded))
        return known

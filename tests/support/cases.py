"""Random data for one model."""

from dataclasses import dataclass, replace

import jax
import numpy as np
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import ClassifierParams, config_of, random_params


@dataclass(frozen=True)
class Case:
    """Random, non-zero data for one model. Arrays are NumPy's, floating ones in float64 unless cast."""

    params: ClassifierParams  # of C classes
    x: np.ndarray  # (B, T, D)
    carry: np.ndarray  # (B, H)
    lengths: np.ndarray  # (B,) int32, 0 and T among them where B > 1
    resets: np.ndarray  # (B, T) bool
    targets: np.ndarray  # (B, T, H); also the weights of the outputs in a differentiated scalar
    d_carry: np.ndarray  # (B, H), weights of the final carry in that scalar
    labels: np.ndarray  # (B,) int32, in [0, C)

    @classmethod
    def random(
        cls, batch: int, time: int, input_size: int, hidden_size: int, classes: int = 5, seed: int = 0
    ) -> "Case":
        """Draw a case."""
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, time + 1, batch)
        if batch > 1:
            lengths[:2] = 0, time
        return cls(
            params=random_params(GRUConfig(input_size, hidden_size, classes, param_dtype="float64"), seed),
            x=rng.normal(size=(batch, time, input_size)),
            carry=rng.normal(size=(batch, hidden_size)),
            lengths=lengths.astype(np.int32),
            resets=rng.random((batch, time)) < 0.3,
            targets=rng.normal(size=(batch, time, hidden_size)),
            d_carry=rng.normal(size=(batch, hidden_size)),
            labels=rng.integers(0, classes, batch).astype(np.int32),
        )

    def astype(self, dtype: str) -> "Case":
        """The case with every floating-point array rounded to a dtype."""
        arrays = {name: getattr(self, name).astype(dtype) for name in ("x", "carry", "targets", "d_carry")}
        return replace(self, params=jax.tree.map(lambda p: p.astype(dtype), self.params), **arrays)

    @property
    def gru_config(self) -> GRUConfig:
        """The configuration of the GRU without its readout."""
        return replace(config_of(self.params), classes=None)

"""Random data for one model, and assertions about arrays that fail with one sentence,
not with the arrays.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from trigru.common.config import GRUConfig
from trigru.common.equality.measurement import relative_error
from trigru.common.parameters.record import GRUParams, random_params


@dataclass(frozen=True)
class Case:
    """Random, non-zero data for one model.

    Arrays are NumPy's, floating ones in float64 unless cast.
    """

    params: GRUParams
    x: np.ndarray  # (B, T, D)
    carry: np.ndarray  # (B, H)
    lengths: np.ndarray  # (B,) int32, 0 and T among them where B > 1
    resets: np.ndarray  # (B, T) bool
    #: (B, T, H); also the weights of the outputs in a differentiated scalar
    targets: np.ndarray
    d_carry: np.ndarray  # (B, H), weights of the final carry in that scalar

    @classmethod
    def random(
        cls, batch: int, time: int, input_size: int, hidden_size: int, seed: int = 0
    ) -> "Case":
        config = GRUConfig(input_size, hidden_size, param_dtype="float64")
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, time + 1, batch)
        if batch > 1:
            lengths[:2] = 0, time
        return cls(
            params=random_params(config, seed),
            x=rng.normal(size=(batch, time, input_size)),
            carry=rng.normal(size=(batch, hidden_size)),
            lengths=lengths.astype(np.int32),
            resets=rng.random((batch, time)) < 0.3,
            targets=rng.normal(size=(batch, time, hidden_size)),
            d_carry=rng.normal(size=(batch, hidden_size)),
        )

    def astype(self, dtype: str) -> "Case":
        arrays: dict[str, Any] = {}
        for name in ("params", "x", "carry", "targets", "d_carry"):
            arrays[name] = jax.tree.map(lambda a: a.astype(dtype), getattr(self, name))
        return replace(self, **arrays)


def assert_near(got, want, bound, what="the result"):
    """The largest difference is at most `bound` of the largest expected magnitude."""
    assert np.shape(got) == np.shape(want), (
        f"{what} has shape {np.shape(got)}, expected {np.shape(want)}"
    )
    error = relative_error(got, want)
    assert error <= bound, f"{what} has error {error:.1e}, at most {bound:.1e} allowed"


def assert_each_near(got, want, bound):
    assert {*got} == {*want}
    for name, array in want.items():
        assert_near(got[name], array, bound, name)


def assert_bits(got, want, what="the result"):
    got, want = np.asarray(got), np.asarray(want)
    is_alike = (got.shape, got.dtype) == (want.shape, want.dtype)
    assert is_alike, (
        f"{what} is {got.dtype}{got.shape}, expected {want.dtype}{want.shape}"
    )
    is_same = got.tobytes() == want.tobytes()
    assert is_same, (
        f"{what} differs in {np.sum(got != want)} of {want.size} entries, or in the sign of a 0"
    )


def same_bits(params, expected):
    assert type(params) is type(expected)
    for name, array in expected._asdict().items():
        assert_bits(getattr(params, name), array, name)
    return True

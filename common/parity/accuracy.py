"""How accurate the candidate is in its own dtypes, beside the reference in its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..program.model import is_float
from .pairs import Pair
from .values import AS_GIVEN, largest

#: How many times the reference's error the candidate's may be, and how many of its last
#: digits more.
TIMES, DIGITS = 4.0, 64.0


@dataclass(frozen=True)
class Accuracy:
    """The error of a candidate's outputs, that of the reference's, and how large it may
    be.
    """

    name: str
    error: float
    of_reference: float
    tolerance: float


def accuracies(pair: Pair, inputs: tuple[Any, ...]) -> Iterator[Accuracy]:
    """The accuracy of the candidate, compiled and not.

    Raises what a model raises that fails in its own dtypes.
    """
    pair = pair.sets(AS_GIVEN)
    exact = pair.r.forward(pair.mine).outputs
    with jax.default_matmul_precision("highest"):
        of_reference = pair.r.run(pair.mine, inputs, jit=True)
        compiled = pair.c.run(pair.given, inputs, jit=True)
        not_compiled = pair.c.run(pair.given, inputs, jit=False)
    real = filter(is_float, of_reference)
    epsilon = max((float(jnp.finfo(a.dtype).eps) for a in real), default=0.0)
    reference_error = _error(of_reference, exact)
    tolerance = TIMES * reference_error + DIGITS * epsilon
    name = "error in its own dtype"
    yield Accuracy(name, _error(compiled, exact), reference_error, tolerance)
    error = _error(not_compiled, exact)
    yield Accuracy(f"{name}, not compiled", error, reference_error, tolerance)


def _error(outputs: Sequence[Any], exact: Sequence[np.ndarray]) -> float:
    """The largest error of outputs of real or complex numbers."""
    error = 0.0
    for array, wanted in zip(outputs, exact, strict=True):
        if wanted.dtype.kind in "fc":
            own = np.asarray(array).astype(wanted.dtype)[None]
            error = max(error, largest([wanted], [own]))
    return error

"""Ports with one planted fault each: what `trigru verify` must notice. `trigru verify --self-test` runs them.

Each is plain JAX (`impls/pure.py`), on either kernel, with a fault that somebody has made, or could make, in a port. A
mutant that no check notices means that the checks are blind there. Adding one is adding a row to a table here.
"""

from . import calls, equations, kernel, training, transforms
from .mutant import Mutant

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: tuple[Mutant, ...] = (
    *equations.MUTANTS,
    *calls.MUTANTS,
    *transforms.MUTANTS,
    *training.MUTANTS,
    *kernel.MUTANTS,
)

"""Ports with one planted fault each: what `trigru verify` must notice. `trigru verify --self-test` runs them.

Most are plain JAX (`impls/pure.py`), on either kernel, some Flax or Equinox, each with a fault that somebody has made,
or could make, in a port. A fault that no check notices means that the checks are blind there. Adding one is adding a
row to a table here.
"""

from . import calls, contract, draws, equations, kernel, life, memory, refusals, training, transforms
from .fault import Fault

__all__ = ["FAULTS", "Fault", "get_fault"]

FAULTS: tuple[Fault, ...] = (
    *(*equations.FAULTS, *calls.FAULTS, *transforms.FAULTS, *training.FAULTS, *kernel.FAULTS),
    *(*life.FAULTS, *draws.FAULTS, *refusals.FAULTS, *memory.FAULTS, *contract.FAULTS),
)


def get_fault(name: str) -> Fault:
    """The fault of that name."""
    return next(fault for fault in FAULTS if fault.name == name)

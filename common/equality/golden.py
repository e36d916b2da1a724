"""Golden vectors: inputs, parameters, outputs and gradients that the oracle once gave, kept in a file.

The other checks compare ports with the oracle as it is now. A change in both, or in NumPy, shows only here.
The file is written by

    python -m trigru.common.equality.golden FILE

and changes only together with the equations.
"""

import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ..files import write_whole
from ..parameters.record import from_leaves
from . import oracle
from .cases import Case
from .contract.data import USUAL, Data

SEED, SHAPE = 20, (4, 9, 3, 5)  # B, T, D, H


def golden_data() -> Data:
    """The inputs, in float64: four sequences of 9 steps, 3 inputs, 5 units, lengths 0 and 9 among them."""
    arrays = _stored()
    x, lengths, resets, weights, d_carry = (
        arrays[name][None] for name in ("x", "lengths", "resets", "targets", "d_carry")
    )
    return Data((USUAL,), from_leaves(arrays), x, None, lengths, resets, weights, d_carry)


def golden_answers() -> dict[str, np.ndarray]:
    """Final carry, outputs, and the gradients of Σ outputs · weights + Σ carry · d_carry, from the learned start.

    With lengths and resets; names as in rows of the contract.
    """
    return {name.removeprefix("answer "): array for name, array in _stored().items() if name.startswith("answer ")}


def oracle_answers(inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """The same from the oracle as it is now, for inputs by the names of the file."""
    params = from_leaves(inputs)
    tape = oracle.forward(params, inputs["x"], lengths=inputs["lengths"], resets=inputs["resets"])
    found = oracle.backward(params, tape, inputs["targets"], inputs["d_carry"])
    gradients = {f"d {name}": array for name, array in (found.params._asdict() | {"x": found.x}).items()}
    return {"carry": tape.carry, "outputs": tape.outputs} | gradients


def write(path: Path) -> None:
    """Write the file anew, whole or not at all."""
    case = Case.random(*SHAPE, seed=SEED)
    inputs: dict[str, Any] = case.params.gru._asdict()
    inputs |= {name: getattr(case, name) for name in ("x", "carry", "lengths", "resets", "targets", "d_carry")}
    arrays = inputs | {f"answer {name}": array for name, array in oracle_answers(inputs).items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, save(arrays, {"format": "trigru golden vectors", "seed": str(SEED)}))


@cache
def _stored() -> dict[str, np.ndarray]:
    arrays = load((files("trigru.common") / "data" / "golden.safetensors").read_bytes())
    return dict(sorted(arrays.items()))  # which come in another order each time


if __name__ == "__main__":
    write(Path(sys.argv[1]))

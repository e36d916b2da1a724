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
from ..parameters.record import ClassifierParams, ReadoutParams, from_leaves
from . import oracle
from .cases import Case

INPUTS = ("x", "carry", "lengths", "resets", "targets", "d_carry")
SEED, SHAPE = 20, (4, 9, 3, 5)  # B, T, D, H


def golden_case() -> Case:
    """The inputs, in float64: four sequences of 9 steps, 3 inputs, 5 units, lengths 0 and 9 among them."""
    arrays = _stored()
    params = from_leaves(arrays)
    readout = ReadoutParams(np.ones((1, len(params.initial_carry))), np.ones(1))  # not part of the file
    inputs: dict[str, Any] = {name: arrays[name] for name in INPUTS}
    return Case(ClassifierParams(params, readout), **inputs, labels=np.zeros(len(arrays["x"]), np.int32))


def golden_answers() -> dict[str, np.ndarray]:
    """Final carry, outputs, and the gradients of Σ outputs · targets + Σ carry · d_carry, from the learned start.

    With lengths and resets; names as in the checks.
    """
    return {name.removeprefix("answer "): array for name, array in _stored().items() if name.startswith("answer ")}


def oracle_answers(case: Case) -> dict[str, np.ndarray]:
    """The same from the oracle as it is now."""
    tape = oracle.forward(case.params.gru, case.x, lengths=case.lengths, resets=case.resets)
    found = oracle.backward(case.params.gru, tape, case.targets, case.d_carry)
    gradients = {f"d {name}": array for name, array in (found.params._asdict() | {"x": found.x}).items()}
    return {"carry": tape.carry, "outputs": tape.outputs} | gradients


def write(path: Path) -> None:
    """Write the file anew, whole or not at all."""
    case = Case.random(*SHAPE, seed=SEED)
    inputs: dict[str, Any] = case.params.gru._asdict()
    inputs |= {name: getattr(case, name) for name in INPUTS}
    answers = {f"answer {name}": array for name, array in oracle_answers(case).items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in (inputs | answers).items()}
    write_whole(path, save(arrays, {"format": "trigru golden vectors", "seed": str(SEED)}))


@cache
def _stored() -> dict[str, np.ndarray]:
    return load((files("trigru.common") / "data" / "golden.safetensors").read_bytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Write the golden vectors anew, after a change of the equations: .ci/golden.py FILE."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.files import write_whole
from trigru.common.parameters.record import from_leaves, random_params

SEED, SHAPE = 20, (4, 9, 3, 5)  # B, T, D, H


def oracle_answers(inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """The same from the oracle as it is now, for inputs by the names of the file."""
    params = from_leaves(inputs)
    forward = oracle.forward(
        params, inputs["x"], lengths=inputs["lengths"], resets=inputs["resets"]
    )
    backward = oracle.backward(params, forward, inputs["targets"], inputs["d_carry"])
    gradients = {
        f"d {name}": array
        for name, array in (backward.params._asdict() | {"x": backward.x}).items()
    }
    return {"carry": forward.carry, "outputs": forward.outputs} | gradients


def write(path: Path) -> None:
    """Write the file anew, whole or not at all."""
    (B, T, D, H), rng = SHAPE, np.random.default_rng(SEED)
    lengths = rng.integers(1, T + 1, B).astype(np.int32)
    lengths[:2] = 0, T
    inputs: dict[str, Any] = random_params(
        GRUConfig(D, H, 5, param_dtype="float64"), SEED
    ).gru._asdict()
    inputs |= {
        "x": rng.normal(size=(B, T, D)),
        "carry": rng.normal(size=(B, H)),
        "lengths": lengths,
    }
    inputs |= {
        "resets": rng.random((B, T)) < 0.3,
        "targets": rng.normal(size=(B, T, H)),
    }
    inputs["d_carry"] = rng.normal(size=(B, H))
    arrays = inputs | {
        f"answer {name}": array for name, array in oracle_answers(inputs).items()
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(
        path, save(arrays, {"format": "trigru golden vectors", "seed": str(SEED)})
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))

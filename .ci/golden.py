"""Write the golden vectors anew, after a change of the equations.

.venv/bin/python .ci/golden.py FILE
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.files import write_whole
from trigru.common.parameters.record import from_leaves, random_params

SEED = 20
B, T, D, H = 4, 9, 3, 5


def oracle_answers(inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the oracle gives now for inputs, by the names of the file."""
    params = from_leaves(inputs)
    forward = oracle.forward(
        params, inputs["x"], lengths=inputs["lengths"], resets=inputs["resets"]
    )
    backward = oracle.backward(params, forward, inputs["targets"], inputs["d_carry"])
    answers = {"carry": forward.carry, "outputs": forward.outputs, "d x": backward.x}
    for name, gradient in backward.params._asdict().items():
        answers[f"d {name}"] = gradient
    return answers


def write(path: Path) -> None:
    """Write the file anew, whole or not at all."""
    rng = np.random.default_rng(SEED)
    lengths = rng.integers(1, T + 1, B).astype(np.int32)
    lengths[:2] = 0, T
    params = random_params(GRUConfig(D, H, param_dtype="float64"), SEED)
    inputs: dict[str, Any] = {
        **params._asdict(),
        "x": rng.normal(size=(B, T, D)),
        "carry": rng.normal(size=(B, H)),
        "lengths": lengths,
        "resets": rng.random((B, T)) < 0.3,
        "targets": rng.normal(size=(B, T, H)),
        "d_carry": rng.normal(size=(B, H)),
    }
    arrays = {}
    for name, array in inputs.items():
        arrays[name] = np.ascontiguousarray(array)
    for name, array in oracle_answers(inputs).items():
        arrays[f"answer {name}"] = np.ascontiguousarray(array)
    metadata = {"format": "trigru golden vectors", "seed": str(SEED)}
    write_whole(path, save(arrays, metadata))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

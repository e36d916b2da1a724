"""The gradient that reaches the initial state, against length: `python
bench/studies/vanishing.py`.

Prints, for the model of the README's question, how the Euclidean norm of that gradient
vanishes with the length of the sequence, and that a learning rate scaled by the length
undoes it where the loss is a mean over all steps. docs/training.md has what was found,
and docs/results/vanishing.json the numbers.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import jax
import numpy as np
import optax
from scipy.linalg import norm  # of a vector: its squares do not underflow
from training import FRAMEWORKS, mean_squared
from trigru.common.compat import enable_x64
from trigru.common.config import GRUConfig
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.impls import get_port

CONFIG = GRUConfig(20, 200, param_dtype="float64")
BATCH_SIZE, SEEDS = 8, 3
LENGTHS = tuple(2**power for power in range(12))  # 1 to 2048 steps
#: Of the outputs (B, T, H) against targets.
LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "last step": lambda outputs, want: mean_squared(outputs[:, -1], want[:, -1]),
    "every step": mean_squared,
}


def norms(framework: str, loss: str, length: int, seed: int) -> list[float]:
    """Of the gradient of the initial state, of its update at a rate of 1 scaled by the
    length, and of the weights'.
    """
    port, source = get_port(framework), get_port("pure")
    params, rng = (
        source.dump(source.make(CONFIG, jax.random.key(seed))),
        np.random.default_rng(seed),
    )
    params = params._replace(initial_carry=rng.uniform(-0.5, 0.5, CONFIG.hidden_size))
    x = rng.normal(size=(BATCH_SIZE, length, CONFIG.input_size))
    targets = rng.uniform(-0.5, 0.5, size=(BATCH_SIZE, length, CONFIG.hidden_size))

    def scalar(model, x, targets):
        return LOSSES[loss](port.apply(model, x)[1], targets)

    _, (tree, *_) = jax.jit(port.value_and_grad(scalar))(
        port.load(CONFIG, params), x, targets
    )
    gradient, tx = port.dump(tree), carry_learning_rate(optax.sgd(1.0), length=length)
    update: Any = tx.update(gradient, tx.init(params), params)[0]
    return [
        norm(array.ravel())
        for array in (gradient.initial_carry, update.initial_carry, gradient.weight_hh)
    ]


def main(lengths: tuple[int, ...] = LENGTHS, seeds: int = SEEDS) -> None:
    """Print medians over draws, for each framework, loss and length."""
    with enable_x64(True):
        for framework, loss, length in product(FRAMEWORKS, LOSSES, lengths):
            medians = np.median(
                [norms(framework, loss, length, seed) for seed in range(seeds)], axis=0
            )
            gradient, update, weights = (f"{norm:.2g}" for norm in medians)
            print(
                f"{framework}, {loss}, T={length}: {gradient}, × T {update}, weights "
                f"{weights}",
                flush=True,
            )


if __name__ == "__main__":
    main()

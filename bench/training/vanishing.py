"""The gradient that reaches the initial state, against the length of the sequence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import numpy as np
import optax
from msgspec import Meta, Struct

from ...common.compat import enable_x64
from ...common.config import GRUConfig
from ...common.gru.optimizers import carry_learning_rate
from ...common.parameters.record import GRUParams
from ...impls import get_port
from ..results.contradictions import first_twice
from ..results.grouping import grouped
from ..results.record import Count, Natural, NotNegative
from . import FRAMEWORKS
from .experiments import mean_squared

#: The model of the README's question: 200 units on 20 inputs, with eight sequences.
CONFIG = GRUConfig(20, 200, param_dtype="float64")
BATCH_SIZE = 8
LENGTHS = tuple(2**power for power in range(12))  # 1 to 2048 steps

SEEDS = 3


@dataclass(frozen=True)
class Objective:
    """A loss of the outputs (B, T, H) against targets, over some of the steps."""

    name: str
    summary: str
    loss: Callable[[Any, Any], Any]


LOSSES: tuple[Objective, ...] = (
    Objective("last-step", "the last step alone", lambda outputs, want: mean_squared(outputs[:, -1], want[:, -1])),
    Objective("every-step", "the mean over all steps", mean_squared),
)


class Norm(Struct, frozen=True, forbid_unknown_fields=True):
    """Euclidean norms for one draw of parameters and data, in float64.

    Args:
        length: T.
        gradient: of the loss with respect to the initial state.
        update: of the initial state by one step of SGD at a learning rate of 1, its rate scaled by the length.
        weights: of the gradient with respect to the recurrent weights.
    """

    framework: str
    loss: str
    length: Natural
    seed: Count
    gradient: NotNegative
    update: NotNegative
    weights: NotNegative

    def __post_init__(self) -> None:
        if self.framework not in FRAMEWORKS or self.loss not in {objective.name for objective in LOSSES}:
            raise ValueError(f"{self.framework} {self.loss} is no framework and loss of this experiment")


class Vanishing(Struct, frozen=True, forbid_unknown_fields=True):
    """All norms of a run."""

    norms: Annotated[list[Norm], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if twice := first_twice(f"{n.framework} {n.loss} {n.length} seed {n.seed}" for n in self.norms):
            raise ValueError(f"the norm of {twice} is there twice")
        rows = grouped(self.norms, lambda norm: (norm.framework, norm.loss))
        parts = {frozenset((norm.length, norm.seed) for norm in norms) for norms in rows.values()}
        of_length = grouped({part for some in parts for part in some}, lambda part: part[0])
        if len(parts) > 1 or len({len(seeds) for seeds in of_length.values()}) > 1:
            raise ValueError("some framework, loss or length lacks a seed")

    def of(self, loss: str, field: str, framework: str | None = None) -> tuple[list[int], np.ndarray]:
        """The lengths, and a field's values (lengths, draws), in one framework, by default the first."""
        framework = framework or self.norms[0].framework
        chosen = [norm for norm in self.norms if (norm.loss, norm.framework) == (loss, framework)]
        lengths = sorted({norm.length for norm in chosen})
        rows = [[getattr(norm, field) for norm in chosen if norm.length == length] for length in lengths]
        return lengths, np.array(rows)

    def spread(self) -> float:
        """The largest difference between frameworks in a norm, relative to the larger of the two."""
        found: dict[tuple[Any, ...], list[float]] = {}
        for norm in self.norms:
            for field in ("gradient", "update", "weights"):
                found.setdefault((norm.loss, norm.length, norm.seed, field), []).append(getattr(norm, field))
        return max((max(same) - min(same)) / (max(same) or 1.0) for same in found.values())


def vanishing(
    frameworks: Sequence[str],
    *,
    lengths: Sequence[int] = LENGTHS,
    seeds: int = SEEDS,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Vanishing:
    """Measure the gradient that reaches the initial state of models, each newly drawn with its data from a seed."""
    norms, total = [], sum(lengths) * len(frameworks) * len(LOSSES)
    done = 0
    with enable_x64(True):
        for framework in frameworks:
            port = get_port(framework)
            for length in lengths:
                for objective in LOSSES:
                    progress(done / total, f"{framework}: {objective.summary} of {length}")
                    done += length

                    def scalar(model, x, targets, port=port, objective=objective):
                        return objective.loss(port.apply(model, x)[1], targets)

                    gradient_of = jax.jit(port.value_and_grad(scalar))
                    for seed in range(seeds):
                        params, x, targets = _draw(length, seed)
                        _, (gradient, *_) = gradient_of(port.load(CONFIG, params), x, targets)
                        norms.append(_norm(framework, objective.name, length, seed, port.dump(gradient), params))
    return Vanishing(norms)


def _norm(framework: str, loss: str, length: int, seed: int, gradient: Any, params: GRUParams) -> Norm:
    tx = carry_learning_rate(optax.sgd(1.0), length=length)
    update: Any = tx.update(gradient, tx.init(params), params)[0]
    sizes = (gradient.initial_carry, update.initial_carry, gradient.weight_hh)
    return Norm(framework, loss, length, seed, *(float(f"{_euclidean(size):.6g}") for size in sizes))


def _euclidean(array: np.ndarray) -> float:
    """The Euclidean norm, also if the squares of the entries are too small for float64."""
    largest = np.abs(array).max()
    return float(largest * np.linalg.norm(array / largest)) if largest else 0.0


def _draw(length: int, seed: int) -> tuple[GRUParams, np.ndarray, np.ndarray]:
    port = get_port("pure")
    params = port.dump(port.make(CONFIG, jax.random.key(seed)))
    assert isinstance(params, GRUParams)
    rng = np.random.default_rng(seed)
    carry = rng.uniform(-0.5, 0.5, CONFIG.hidden_size)
    x = rng.normal(size=(BATCH_SIZE, length, CONFIG.input_size))
    targets = rng.uniform(-0.5, 0.5, size=(BATCH_SIZE, length, CONFIG.hidden_size))
    return params._replace(initial_carry=carry), x, targets

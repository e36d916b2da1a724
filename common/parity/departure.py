"""The first equation of a program after which no value agrees with another program's.

Both programs are evaluated in NumPy, and each value gets a signature that no transposition, reshape or sign changes. A
value agrees if the reference has one of the same signature, or if a value that is computed of it agrees: sums in
another order and fused products leave values without a partner that later values have again. Where the programs part
is the first equation whose result does not agree, and whose operands all do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..program import CodeLine, Evaluator, code_lines

#: Relative difference of signatures that count as the same, far above rounding in float64.
SAME = 1e-9


@dataclass(frozen=True)
class Departure:
    """An equation at which a program parts from another one.

    Args:
        operation: the name of the JAX primitive.
        shape: of its result.
        lines: that led to it, the innermost first, without JAX's own; empty if JAX kept none.
    """

    operation: str
    shape: tuple[int, ...]
    lines: tuple[CodeLine, ...]

    def __str__(self) -> str:
        if not self.lines:
            return f"{self.operation} of shape {self.shape}"
        own = next((line for line in self.lines if "site-packages" not in line.file), self.lines[0])
        where = [f"{'/'.join(line.file.split('/')[-2:])}:{line.line}" for line in dict.fromkeys((self.lines[0], own))]
        return f"{', called at '.join(where)} ({self.operation} of shape {self.shape})"


class Trail:
    """All values that a program computes for some arguments, in order.

    Args:
        closed: the trace.
        operands: arrays with an axis of sets of length 1 in front, as for `trigru.common.program.Evaluator`.
        parts: into which another program may cut the last axis of an array, as gates: they count as values, too.
    """

    def __init__(self, closed: Any, operands: Sequence[Any], *, parts: int = 1):
        self.steps: list[tuple[Any, Sequence[np.ndarray], Sequence[np.ndarray]]] = []
        signatures: dict[int, list[tuple[float, ...]]] = {}

        def observe(equation: Any, given: Sequence[np.ndarray], results: Sequence[np.ndarray]) -> None:
            self.steps.append((equation, given, results))

        Evaluator(closed, wide=True, observe=observe)(*operands)
        for array in (array for _, given, results in self.steps for array in (*given, *results)):
            cut = array.ndim > 1 and parts > 1 and array.shape[-1] % parts == 0
            for part in (array, *(np.split(array, parts, axis=-1) if cut else ())):
                if (signature := _signature(part)) is not None:
                    signatures.setdefault(part.size, []).append(signature)
        self._known = {size: np.array(some) for size, some in signatures.items()}

    def has(self, array: np.ndarray) -> bool:
        """Whether a value of this signature occurs. What has none (numbers, flags, NaN) always does."""
        signature = _signature(array)
        if signature is None:
            return True
        known = self._known.get(array.size)
        return known is not None and bool(np.isclose(known, signature, rtol=SAME, atol=0.0).all(1).any())


def departure(reference: Trail, candidate: Trail) -> Departure | None:
    """The equation at which the candidate parts from the reference; None if each value agrees, or none does."""
    agrees: dict[int, bool] = {}

    def known(array: np.ndarray) -> bool:
        if id(array) not in agrees:
            agrees[id(array)] = reference.has(array)
        return agrees[id(array)]

    # backwards: an operand agrees, too, if a result that tells something does
    for _, given, results in reversed(candidate.steps):
        if any(known(array) and _signature(array) is not None for array in results):
            agrees.update((id(array), True) for array in given)
    for equation, given, results in candidate.steps:
        if all(map(known, given)) and not all(map(known, results)):
            return Departure(equation.primitive.name, results[0].shape[1:], code_lines(equation))
    return None


def _signature(array: np.ndarray) -> tuple[float, ...] | None:
    """Sums over the sorted magnitudes; None of what says nothing: numbers, integers, zeros, what is not finite."""
    if array.size < 2 or array.dtype.kind != "f":
        return None
    sizes = np.sort(np.abs(array), axis=None)
    if not np.isfinite(sizes[-1]) or not sizes[-1] or sizes[0] == sizes[-1]:
        return None
    weights = np.arange(1, len(sizes) + 1) / len(sizes)
    return float(sizes.sum()), float(sizes @ weights), float(sizes @ sizes)

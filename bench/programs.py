"""What a program consists of, as a reason for its speed."""

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["ProgramFacts", "explain", "read_program"]

#: A smaller difference per call than this is what crossing the jit boundary was seen to cost.
DISPATCH_TIME_S = 50e-6


@dataclass(frozen=True)
class ProgramFacts:
    """Counts in a program as the framework hands it to XLA (StableHLO, before optimisation).

    Args:
        leaves: arrays that cross the jit boundary inwards for the model and its optimiser state.
        dots: matrix products written in the program; one in a loop's body counts once.
        transposes: of arrays of any rank, likewise.
    """

    leaves: int
    dots: int
    transposes: int


def read_program(lowered: Any, leaves: int) -> ProgramFacts:
    """Count operations in a lowered program.

    Args:
        lowered: what `jax.jit(f).lower(...)` returns.
        leaves: passed through.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.ones((2, 2))
    >>> read_program(jax.jit(lambda x: x @ x.T).lower(x), leaves=1)
    ProgramFacts(leaves=1, dots=1, transposes=1)
    """
    text = lowered.as_text()
    return ProgramFacts(
        leaves=leaves,
        dots=len(re.findall(r"stablehlo\.dot_general\b", text)),
        transposes=len(re.findall(r"stablehlo\.transpose\b", text)),
    )


def explain(arm: ProgramFacts, baseline: ProgramFacts, difference_s: float) -> str:
    """Why an arm takes longer than the baseline, as far as the counts tell.

    >>> explain(ProgramFacts(34, 18, 12), ProgramFacts(16, 6, 4), 700e-6)
    '18 dots, 12 transposes; pure 6, 4'
    >>> explain(ProgramFacts(17, 6, 4), ProgramFacts(16, 6, 4), 3e-6)
    'the same 6 dots, +3.0 µs a call'
    >>> explain(ProgramFacts(17, 6, 4), ProgramFacts(16, 6, 4), 3e-3)
    'unexplained: the same 6 dots'
    """
    if (arm.dots, arm.transposes) != (baseline.dots, baseline.transposes):
        return f"{arm.dots} dots, {arm.transposes} transposes; pure {baseline.dots}, {baseline.transposes}"
    if difference_s < DISPATCH_TIME_S:
        return f"the same {arm.dots} dots, +{difference_s * 1e6:.1f} µs a call"
    return f"unexplained: the same {arm.dots} dots"

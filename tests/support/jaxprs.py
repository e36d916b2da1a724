"""What a traced program holds, however deep."""

import jax
from trigru.common.program import equations

__all__ = ["equations", "loops_of"]


def loops_of(function, *arguments):
    """The scans of a function."""
    program = jax.make_jaxpr(function)(*arguments)
    return [equation for equation, _ in equations(program.jaxpr) if equation.primitive.name == "scan"]

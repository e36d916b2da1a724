"""What a traced program holds, however deep."""

import jax


def equations(jaxpr, loops=0):
    """Every equation of a program, with the number of loops around it."""
    for equation in jaxpr.eqns:
        yield equation, loops
        inside = loops + (equation.primitive.name in ("scan", "while"))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner, inside)


def loops_of(function, *arguments):
    """The scans of a function."""
    program = jax.make_jaxpr(function)(*arguments)
    return [equation for equation, _ in equations(program.jaxpr) if equation.primitive.name == "scan"]

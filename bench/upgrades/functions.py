"""A snapshot of somebody's own function of parameters and inputs, or of a port that is at hand as an object."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.equality.verification import verify
from ...common.port.programs import read_program
from ...common.port.protocol import Port
from ..results.files import command_line
from ..timing.machine import describe_machine
from .counting import count_equations, count_operations, count_python
from .facts import Kept, Looked, look, paths_of
from .noticing import noticed, survived
from .record import SCHEMA, Calls, Leaf, Program, Snapshot, Subject, Values, Where


def of_port(port: Port, folder: Path, *, equality: bool = True) -> tuple[Snapshot, dict[str, np.ndarray]]:
    """A snapshot of a port, taken in this process."""
    looked = Looked(port, Subject(port.name, port.name), folder)
    look(looked)
    measured = verify([port]) if equality else None
    return _snapshot(looked.subject, measured, port.packages), looked.kept.arrays


def of_function(function: Callable[..., Any], params: Any, *inputs: Any) -> tuple[Snapshot, dict[str, np.ndarray]]:
    """A snapshot of a function that JAX can compile.

    What is kept: its results and the gradient of half the sum of their squares with respect to the floating-point
    parameters, the leaves of the parameters, its program, what a call of `jax.jit` of it costs, and warnings.

    Args:
        function: (params, *inputs) -> a pytree of arrays.
        params: a pytree.
        inputs: pytrees of arrays.
    """
    name = getattr(function, "__qualname__", type(function).__name__)
    subject = Subject(name, name)
    kept = Kept()
    params = jax.tree.map(jnp.asarray, params)
    where = Where("jit", "forward", "")
    subject.tree = [Leaf(path, np.shape(leaf), str(leaf.dtype)) for path, leaf in paths_of(params).items()]
    ran = 0

    def counted(params: Any, *inputs: Any) -> Any:
        nonlocal ran
        ran += 1
        return function(params, *inputs)

    def half_of_squares(params: Any, *inputs: Any) -> Any:
        found = jax.tree.leaves(function(params, *inputs))
        squares = [jnp.sum(jnp.abs(a) ** 2) / 2 for a in found if jnp.issubdtype(a.dtype, jnp.inexact)]
        return sum(squares, jnp.zeros(()))

    with survived(subject, "values", where), noticed(subject, "call"):
        jitted: Any = jax.jit(counted)
        results = jitted(params, *inputs)
        subject.values.append(Values(where, kept.keep_all(paths_of(results) or {"result": results})))
        first = ran
        for _ in range(3):
            jax.block_until_ready(jitted(params, *inputs))
        traces = 1 + (ran - first) // max(first, 1)
        costs = count_python(lambda: jitted(params, *inputs))
        at_boundary = len(jax.tree.leaves((params, inputs)))
        subject.calls.append(Calls(where, at_boundary, costs["call"], costs["c_call"], costs["line"], traces))
    of_gradient = Where("jit", "gradient", "")
    with survived(subject, "values", of_gradient), noticed(subject, "call"):
        gradient = jax.jit(jax.grad(half_of_squares, allow_int=True))(params, *inputs)
        floating = {path: a for path, a in paths_of(gradient).items() if jnp.issubdtype(a.dtype, jnp.floating)}
        subject.values.append(Values(of_gradient, kept.keep_all(floating)))
    with survived(subject, "programs", where), noticed(subject, "call"):
        lowered = jax.jit(function).lower(params, *inputs)
        equations = count_equations(jax.make_jaxpr(function)(params, *inputs).jaxpr)
        subject.programs.append(Program(where, read_program(lowered), count_operations(lowered), equations))
    return _snapshot(subject, None, ()), kept.arrays


def _snapshot(subject: Subject, measured: Any, packages: tuple[str, ...]) -> Snapshot:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Snapshot(SCHEMA, command_line(), when, describe_machine(packages), measured, [], [subject])

"""A snapshot of somebody's own function of parameters and inputs, or of a port that is at hand as an object."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.equality.verification import verify
from ...common.port.protocol import Port
from ..results.files import command_line
from ..timing.machine import describe_machine
from .counting import call_facts, count_equations, program_facts
from .facts import Looked, look, paths_of, tree_of
from .folder import Kept
from .noticing import noticed, survived
from .record import SCHEMA, Snapshot, Subject


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
    subject.tree = tree_of(params)
    ran = 0

    def counted(params: Any, *inputs: Any) -> Any:
        nonlocal ran
        ran += 1
        return function(params, *inputs)

    def half_of_squares(params: Any, *inputs: Any) -> Any:
        found = jax.tree.leaves(function(params, *inputs))
        squares = [jnp.sum(jnp.abs(a) ** 2) / 2 for a in found if jnp.issubdtype(a.dtype, jnp.inexact)]
        return sum(squares, jnp.zeros(()))

    with survived(subject, "values forward jit"), noticed(subject, "call"):
        jitted: Any = jax.jit(counted)
        results = jitted(params, *inputs)
        subject.values["forward jit"] = kept.keep_all(paths_of(results) or {"result": results})
        first = ran
        for _ in range(3):
            jax.block_until_ready(jitted(params, *inputs))
        traces = 1 + (ran - first) // max(first, 1)
        at_boundary = len(jax.tree.leaves((params, inputs)))
        subject.calls["forward jit"] = call_facts(lambda: jitted(params, *inputs), at_boundary, traces)
    with survived(subject, "values gradient jit"), noticed(subject, "call"):
        gradient = jax.jit(jax.grad(half_of_squares, allow_int=True))(params, *inputs)
        floating = {path: a for path, a in paths_of(gradient).items() if jnp.issubdtype(a.dtype, jnp.floating)}
        subject.values["gradient jit"] = kept.keep_all(floating)
    with survived(subject, "programs forward jit"), noticed(subject, "call"):
        lowered = jax.jit(function).lower(params, *inputs)
        equations = count_equations(jax.make_jaxpr(function)(params, *inputs).jaxpr)
        subject.programs["forward jit"] = program_facts(lowered, equations)
    return _snapshot(subject, None, ()), kept.arrays


def _snapshot(subject: Subject, measured: Any, packages: tuple[str, ...]) -> Snapshot:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Snapshot(SCHEMA, command_line(), when, describe_machine(packages), measured, [], [subject])

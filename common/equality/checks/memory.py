"""The check of what takes memory: `remat`, by which a gradient keeps less from the forward pass, and arrays that a
train step gives up to those that replace them.

What a gradient keeps is what the loops of its trace stack up. Where all steps are unrolled, there is no loop that would
keep the recomputation apart from the forward pass, and XLA may merge both: there, compiled programs are compared. The
one with `remat` has to need less memory or, where XLA's scheduler takes what was saved for something else, as on the
CPU, to compute more.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError
from ...gru.kernels import STOCK
from ...parameters.record import random_params
from ...port.compilation import jit_without_optimization
from ...port.programs import computed_functions, temp_bytes
from ...port.protocol import DONATED, CallStyle, Port, WithKernel
from ...port.styles import available_styles, make_task
from ...program import equations, scan_counts
from .check import Case, part_of

#: What is kept has to weigh more than parameters and their gradients. More inputs than steps that are unrolled, so that
#: one is not taken for the other.
BATCH, INPUTS, UNITS = 16, 5, 8
LONG, UNROLLED = 64, 4
#: Of what is kept without remat, at most this share may be kept with it.
SHARE = 0.75
#: More of exp, tanh and their like than without remat, at least by this factor, is a recomputation.
MORE = 1.25


def _cases(port: Port) -> Iterator[Case]:
    """`remat` saves memory, in a loop and where there is none, and a train step donates what its style says."""
    kernels = [] if isinstance(port, WithKernel) else sorted(set(port.kernels) - {STOCK})
    most = _kept_bytes(port)  # of the framework's own cell, whose every value on the way is kept
    for kernel in (STOCK, *kernels):
        yield Case(f"kernel={kernel}", partial(_require_saved, port, most, kernel=kernel))
    yield Case("a classifier", partial(_require_saved, port, classes=2))
    yield Case("all steps unrolled", partial(_require_recomputed, port))
    for style in available_styles(port, "train_step"):
        if DONATED in style.labels:
            yield Case(f"a train step in the call style {style.name}", partial(_require_donated, port, style))


def _require_saved(port: Port, most: int | None = None, **options: Any) -> None:
    """Require fewer bytes with `remat`, and without it at most as many as given."""
    plain, again = (_kept_bytes(port, remat=remat, **options) for remat in (False, True))
    if most is not None and plain > most:
        raise DefectError(f"the gradient keeps {plain:,} bytes, expected at most the {most:,} of kernel={STOCK}")
    if not again <= SHARE * plain:
        raise DefectError(f"the gradient keeps {again:,} bytes with remat, {plain:,} without it: expected less")


def _kept_bytes(port: Port, time: int = LONG, **options: Any) -> int:
    """Bytes that the loops of a traced gradient hand out step by step, and that others read."""
    function, *arguments = _gradient(port, time, **options)
    loops = [
        equation
        for equation, _ in equations(jax.make_jaxpr(function)(*arguments).jaxpr)
        if equation.primitive.name == "scan"
    ]
    stacked = [variable.aval for loop in loops for variable in loop.outvars[scan_counts(loop)[1] :]]
    return sum(aval.size * aval.dtype.itemsize for aval in stacked)


def _require_recomputed(port: Port) -> None:
    """Require that XLA does not merge the recomputation with the forward pass, also of fewer steps than `unroll`."""
    plain, functions = _compiled_cost(port, unroll=UNROLLED)
    for unroll in (UNROLLED, UNROLLED + 1):
        again, functions_again = _compiled_cost(port, unroll=unroll, remat=True)
        computes_more = functions is None or functions_again is None or functions_again >= MORE * functions
        if not (again <= SHARE * plain or computes_more):
            raise DefectError(
                f"with unroll={unroll} and {UNROLLED} steps, remat keeps {again:,} bytes, {plain:,} without it, and "
                "computes nothing again: it was merged with the forward pass"
            )


def _compiled_cost(port: Port, **options: Any) -> tuple[int, float | None]:
    """The bytes that XLA's program of a gradient needs, and how many exp, tanh and the like it computes.

    Where XLA does not say, the bytes that the trace keeps.
    """
    function, *arguments = _gradient(port, UNROLLED, **options)
    compiled = jit_without_optimization(function).lower(*arguments).compile()
    if needed := temp_bytes(compiled):
        return needed, computed_functions(compiled)
    return _kept_bytes(port, UNROLLED, **options), None


def _gradient(port: Port, time: int, **options: Any) -> tuple[Any, ...]:
    """A gradient over some steps of a GRU or a classifier by the framework's own means, and its arguments."""
    config = GRUConfig(INPUTS, UNITS, param_dtype="float64", **options)

    def scalar(model: Any, x: Any) -> Any:
        return jnp.sum((port.classify(model, x) if config.classes else port.apply(model, x)[1]) ** 2)

    def differentiate(model: Any, x: Any) -> Any:
        return port.value_and_grad(lambda model: scalar(model, x))(model)

    return differentiate, port.load(config, random_params(config)), np.ones((BATCH, time, INPUTS))


def _require_donated(port: Port, style: CallStyle) -> None:
    """Require a style to give up all that its train step replaces: parameters and the optimiser's state."""
    config = GRUConfig(INPUTS, UNITS, param_dtype="float64")
    task = make_task(port, config, "train_step", optax.adam(1e-2))
    program = style.build(port, port.load(config, random_params(config)), task)
    if program.lower is None:
        return
    lowered = program.lower(np.ones((BATCH, LONG, INPUTS)), np.ones((BATCH, LONG, UNITS)))
    arguments = getattr(getattr(lowered, "lowered", lowered), "args_info", None)  # some frameworks wrap JAX's own
    if arguments is not None:
        *donated, _, _ = [array.donated for array in jax.tree.leaves(arguments)]  # all but the batch
        if sum(donated) != program.leaves:
            raise DefectError(f"it gives up {sum(donated)} of the {program.leaves} arrays that it replaces")


PARTS = (part_of(_cases),)

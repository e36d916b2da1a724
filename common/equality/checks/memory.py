"""The check of what takes memory: `remat`, by which a gradient keeps less from the forward pass, and arrays that a
train step gives up to those that replace them.

What a gradient keeps is what the loops of its trace stack up. Where all steps are unrolled, there is no loop that would
keep the recomputation apart from the forward pass, and XLA may merge both: there, compiled programs are compared. The
one with `remat` has to need less memory or, where XLA's scheduler takes what was saved for something else, as on the
CPU, to compute more.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...gru.kernels import STOCK
from ...parameters.record import random_params
from ...port.compilation import jit_without_optimization
from ...port.programs import computed_functions, temp_bytes
from ...port.protocol import DONATED, Port, WithKernel
from ...port.styles import available_styles, make_task
from ...program import equations, scan_counts
from .check import Part

#: What is kept has to weigh more than parameters and their gradients. More inputs than steps that are unrolled, so that
#: one is not taken for the other.
BATCH, INPUTS, UNITS = 16, 5, 8
LONG = 64
UNROLLED = 4
CLASSES = 2
#: Of what is kept without remat, at most this share may be kept with it.
SHARE = 0.75
#: More of exp, tanh and their like than without remat, at least by this factor, is a recomputation.
MORE = 1.25


class Cost(NamedTuple):
    """The cost of a gradient: the bytes that it keeps or needs, and how many exp, tanh and the like it computes."""

    kept: int
    functions: float | None


def _require_savings(port: Port) -> None:
    """`remat` saves memory, in a loop and where there is none, and a train step donates what its style says."""
    kernels = (STOCK,) if isinstance(port, WithKernel) else (STOCK, *sorted(set(port.kernels) - {STOCK}))
    most = None  # of the framework's own cell, whose every value on the way is kept
    for kernel in kernels:
        plain, again = (gradient_cost(port, LONG, 1, remat, kernel=kernel) for remat in (False, True))
        most = most or plain.kept
        if plain.kept > most:
            raise DefectError(
                f"the gradient of a GRU with kernel={kernel!r} keeps {plain.kept:,} bytes, expected at most the "
                f"{most:,} of {STOCK!r}."
            )
        _require_less(f"a GRU with kernel={kernel!r}", plain, again)
    with suppress(NotOfferedError):
        _require_less("a classifier", *(gradient_cost(port, LONG, 1, remat, CLASSES) for remat in (False, True)))
    plain = gradient_cost(port, UNROLLED, UNROLLED, remat=False, traced=False)
    for unroll in (UNROLLED, UNROLLED + 1):  # more than there are, too
        again = gradient_cost(port, UNROLLED, unroll, remat=True, traced=False)
        if not (again.kept <= SHARE * plain.kept or _computes_more(plain, again)):
            raise DefectError(
                f"with unroll={unroll} and {UNROLLED} steps, remat keeps {again.kept:,} bytes, {plain.kept:,} "
                "without it, and computes nothing again: it was merged with the forward pass."
            )
    _require_donations(port)


def _require_donations(port: Port) -> None:
    """A style that gives up what its train step replaces gives up all of it: parameters and the optimiser's state."""
    config = GRUConfig(INPUTS, UNITS, param_dtype="float64")
    batch = np.ones((BATCH, LONG, INPUTS)), np.ones((BATCH, LONG, UNITS))
    for style in available_styles(port, "train_step"):
        if DONATED not in style.labels:
            continue
        task = make_task(port, config, "train_step", optax.adam(1e-2))
        program = style.build(port, port.load(config, random_params(config)), task)
        if program.lower is None:
            continue
        lowered = program.lower(*batch)
        given = getattr(getattr(lowered, "lowered", lowered), "args_info", None)  # some frameworks wrap JAX's own
        if given is None:
            continue
        *held, _, _ = [array.donated for array in jax.tree.leaves(given)]  # all but the batch
        if sum(held) != program.leaves:
            raise DefectError(
                f"a train step in the call style {style.name} gives up {sum(held)} of the {program.leaves} arrays "
                "that it replaces."
            )


def _require_less(model: str, plain: Cost, again: Cost) -> None:
    if not again.kept <= SHARE * plain.kept:
        raise DefectError(
            f"the gradient of {model} keeps {again.kept:,} bytes for {LONG} steps with remat, {plain.kept:,} without: "
            "expected less."
        )


def gradient_cost(
    port: Port,
    time: int,
    unroll: int,
    remat: bool,
    classes: int | None = None,
    *,
    kernel: str = STOCK,
    traced: bool = True,
) -> Cost:
    """The cost of a gradient over some steps of a GRU or a classifier, differentiated by the framework's own means.

    Args:
        traced: what its trace keeps; else what XLA's program needs, or what the trace keeps where XLA does not say.
    """
    config = GRUConfig(INPUTS, UNITS, classes, param_dtype="float64", unroll=unroll, remat=remat, kernel=kernel)

    def differentiate(model: Any, x: Any) -> Any:
        def scalar(model: Any) -> Any:
            return jnp.sum((port.classify(model, x) if classes else port.apply(model, x)[1]) ** 2)

        return port.value_and_grad(scalar)(model)

    model, x = port.load(config, random_params(config)), np.ones((BATCH, time, INPUTS))
    if not traced:
        compiled = jit_without_optimization(differentiate).lower(model, x).compile()
        if needed := temp_bytes(compiled):
            return Cost(needed, computed_functions(compiled))
    return Cost(_stacked_bytes(jax.make_jaxpr(differentiate)(model, x).jaxpr), None)


def _computes_more(plain: Cost, again: Cost) -> bool:
    if plain.functions is None or again.functions is None:
        return True  # nothing tells
    return again.functions >= MORE * plain.functions


def _stacked_bytes(jaxpr: Any) -> int:
    """Bytes that the loops of a traced program hand out step by step, and that others read."""
    loops = [equation for equation, _ in equations(jaxpr) if equation.primitive.name == "scan"]
    stacked = [variable.aval for loop in loops for variable in loop.outvars[scan_counts(loop)[1] :]]
    return sum(aval.size * aval.dtype.itemsize for aval in stacked)


PARTS = (Part(_require_savings),)

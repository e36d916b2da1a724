"""The check of memory: `remat` saves it, in a loop and where there is none, and a train
step donates what it replaces.

What is kept is counted in traces. Nothing is run.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...errors import DefectError
from ...gru.kernels import STOCK
from ...port.names import DONATED
from ...port.protocol import CallStyle, Port
from ...port.styles import available_styles, make_task
from ...program import equations, scan_counts
from ..contract.calling import call_directly
from ..contract.cases import Case, Unroll
from ..contract.named import other_kernels
from .check import CONFIG, PARAMS, H, Trial, X, one_set

#: Parameters and their gradients weigh little beside what is kept.
LONG = Case(phase="forward", batch=(16,), time=64, inputs=5, hidden=8)
#: A loop of two steps that is unrolled to its end, and past it. XLA may merge what
#: stands in no loop.
UNROLLED = replace(LONG, time=2, remat=True)
#: How many states, arrays (B, H), a gradient may keep for each step: JAX's derivative
#: of the equations keeps 10.
MOST_STATES = 13.0
#: Of what is kept without remat, at most this share may be kept with it.
MOST_WITH_REMAT = 0.75


def memory(port: Port) -> Iterator[Trial]:
    """What a gradient keeps on each kernel, with and without `remat`, and what a train
    step gives up.
    """
    for kernel in (STOCK, *other_kernels(port)):
        run = partial(require_saved, port, replace(LONG, kernel=kernel))
        yield Trial(f"kernel={kernel}", run)
        for unroll in ("dividing", "beyond"):
            run = partial(_require_apart, port, kernel, unroll)
            yield Trial(f"kernel={kernel}, unroll {unroll}", run)
    masked = replace(LONG, lengths=True, resets=True)
    yield Trial("with lengths and resets", partial(require_saved, port, masked))
    for style in available_styles(port, "train_step"):
        if DONATED in style.labels:
            run = partial(_require_donated, port, style)
            yield Trial(f"a train step in the call style {style.name}", run)


def require_saved(port: Port, case: Case) -> None:
    """Require a gradient to keep less with `remat`, and without it no more than that of
    the framework's own cell.

    Raises:
        DefectError: it keeps more.
    """
    most = MOST_STATES
    if case.kernel != STOCK:
        most = _kept_states(port, replace(case, kernel=STOCK))
    kept = _kept_states(port, case)
    _require_at_most(most, kept, "")
    with_remat = _kept_states(port, replace(case, remat=True))
    _require_at_most(MOST_WITH_REMAT * kept, with_remat, " with remat")


def _require_at_most(most: float, kept: float, where: str) -> None:
    if kept > most:
        raise DefectError(
            f"the gradient keeps {kept:.1f} states for each step{where}, expected at "
            f"most {most:.1f}"
        )


def _kept_states(port: Port, case: Case) -> float:
    """What the loops of a traced gradient hand out at each step, and others read, in
    states of float64 a step.
    """
    kept_bytes = 0
    for equation, _ in _gradient(port, case):
        if equation.primitive.name == "scan":
            _, carried = scan_counts(equation)
            for variable in equation.outvars[carried:]:
                kept_bytes += variable.aval.size * variable.aval.dtype.itemsize
    (examples,) = case.batch
    return kept_bytes / (8 * case.time * examples * case.hidden)


def _gradient(port: Port, case: Case) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The equations of a gradient of a model's parameters by the framework's own means,
    and those around each.
    """
    _, model, (passed, *_) = one_set(case, port)

    def differentiate(model: Any, passed: Any) -> Any:
        def energy(model: Any) -> Any:
            results = call_directly(
                case, port, model, passed, weights=None, d_carry=None
            )
            return jnp.sum(results["outputs"] ** 2)

        return port.value_and_grad(energy)(model)

    return equations(jax.make_jaxpr(differentiate)(model, passed).jaxpr)


def _require_apart(port: Port, kernel: str, unroll: Unroll) -> None:
    """Require XLA not to merge with the forward pass what is computed again, where no
    loop parts both.
    """
    case = replace(UNROLLED, kernel=kernel, unroll=unroll)
    for equation, callers in _gradient(port, case):
        is_protected = np.all(equation.params.get("prevent_cse", True))
        if not is_protected and not any(_repeats(caller) for caller in callers):
            raise DefectError(
                "what a gradient computes again outside of a loop without prevent_cse "
                "is merged"
            )


def _repeats(equation: Any) -> bool:
    """Whether an equation is a loop of more than one iteration."""
    if equation.primitive.name != "scan":
        return False
    return equation.params["length"] > int(equation.params["unroll"])


def _require_donated(port: Port, style: CallStyle) -> None:
    """Require a style to give up all that its train step replaces: parameters and the
    optimiser's state.
    """
    task = make_task(port, "train_step", optax.adam(1e-2))
    program = style.build(port, port.load(CONFIG, PARAMS), task)
    if program.lower is None:
        return
    lowered = program.lower(X, np.ones((*X.shape[:2], H)))
    lowered = getattr(lowered, "lowered", lowered)  # some frameworks wrap JAX's own
    arguments = getattr(lowered, "args_info", None)
    if arguments is None:
        return
    *donated, _, _ = [array.donated for array in jax.tree.leaves(arguments)]
    if sum(donated) != program.leaves:
        raise DefectError(
            f"it gives up {sum(donated)} of the {program.leaves} arrays that it "
            "replaces"
        )

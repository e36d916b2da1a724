"""Does the time of a program depend on the parameters that it is given?

In https://github.com/patrick-kidger/equinox/issues/928 one framework seemed much slower than another, and the cause was
that each had drawn parameters of its own. Here every program runs on the parameters that each framework's own cell
draws, so that programs and parameters are told apart.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import optax

from ...common.equality import oracle
from ...common.parameters.record import GRUParams
from ...common.port.protocol import FUNCTIONAL
from ...common.port.styles import make_task, styles_called
from ...impls import get_port, get_style
from ...impls.upstream import get_upstream
from ..arms.workloads import get_workload
from ..results.arm import Sized
from .record import Shown

#: Whose programs run, and whose cells draw parameters.
FRAMEWORKS = ("linen", "equinox")
#: In float64, relative to the largest output.
BOUND = 1e-12


def settings(short: bool) -> dict[str, Any]:
    """The work: the forward phase of a workload."""
    return {"workload": "tiny" if short else "question"}


def name_of(program: str, drawn_by: str) -> str:
    """An arm's name."""
    return f"{program}, drawn by {drawn_by}"


@cache
def drawn(framework: str, workload: str, dtype: str = "float32") -> GRUParams:
    """The parameters that a framework's own cell draws by default, in canonical layout."""
    source = get_upstream(framework).PORT
    config = replace(get_workload(Sized(workload)).config(), param_dtype=dtype)
    return source.dump(source.make(config, jax.random.key(0)))


def show(asked: dict[str, Any]) -> tuple[list[Shown], dict[str, list[float]]]:
    """Each program computes the oracle's outputs from each framework's parameters."""
    workload = get_workload(Sized(asked["workload"]))
    x = workload.batch().x.astype(np.float64)
    found = []
    with jax.enable_x64(True):
        config = replace(workload.config(), param_dtype="float64")
        for drawn_by in FRAMEWORKS:
            params = drawn(drawn_by, asked["workload"], "float64")
            want = oracle.forward(params, x).outputs
            for program in FRAMEWORKS:
                port = get_port(program)
                _, outputs = port.apply(port.load(config, params), jax.numpy.asarray(x))
                error = float(np.abs(np.asarray(outputs) - want).max() / np.abs(want).max())
                found.append(Shown(f"outputs of {name_of(program, drawn_by)}", error, BOUND))
    return found, {}


def arms(asked: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Each framework's program on the parameters that each framework draws."""
    return {
        name_of(program, drawn_by): partial(_arm, program, drawn_by, asked["workload"])
        for program in FRAMEWORKS
        for drawn_by in FRAMEWORKS
    }


def _arm(program: str, drawn_by: str, workload: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    sized = get_workload(Sized(workload))
    config, port = sized.config("forward"), get_port(program)
    (style,) = styles_called(port, (FUNCTIONAL,), "forward")
    task = make_task(port, config, "forward", optax.identity())
    built = get_style(port, style).build(port, port.load(config, drawn(drawn_by, workload)), task)
    return built.call, tuple(built.put(array) for array in sized.batch().arguments("forward"))

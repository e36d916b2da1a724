"""The code of each call style, complete and runnable: what `trigru styles` prints, and the docs show.

A row of PORTS says how a model is made and called, a row of STYLES what crosses the jit boundary; program.jinja is the
program.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2

from ...common.errors import UnavailableError

#: All that a program may import, as ruff sorts it.
IMPORTS = """\
from functools import partial
import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training.train_state import TrainState
from trigru.impls.{port} import GRU, gru, gru_step, init
"""
X = "x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)"


@dataclass(frozen=True)
class _Port:
    """How a model is made, and from an expression for it (or for linen's and plain JAX's parameters) called."""

    make: str
    call: str
    step: str


PORTS = {
    "pure": _Port(
        make=f"params = init(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        call="gru({}, x)",
        step="gru_step({}, frame, carry)",
    ),
    "linen": _Port(
        make=f"module = GRU(features=32, carry_init=nn.initializers.normal(0.1))\n{X}\n"
        'params = module.init(jax.random.key(0), x)["params"]',
        call='module.apply({{"params": {}}}, x)',
        step='module.apply({{"params": {}}}, frame, carry, method="step")',
    ),
    "nnx": _Port(
        make=f"model = GRU(8, 32, nnx.initializers.normal(0.1), rngs=nnx.Rngs(0))\n{X}",
        call="{}(x)",
        step="{}.step(frame, carry)",
    ),
    "equinox": _Port(
        make=f"model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        call="jax.vmap({})(x)",
        step="jax.vmap({}.step)(frame, carry)",
    ),
}


@dataclass(frozen=True)
class _Style:
    """The argument at the jit boundary, how it is made, how the model is made of it, and the functions in use.

    `bind` is what the function is called through, where the model is bound to it before the loop.
    """

    model: str = "params"
    setup: str = ""
    it: str = "{}"
    jit: str = "@jax.jit"
    bind: str = ""
    trains: str = "functional"


def _shared(functional: str, setup: str = "", it: str = "{}") -> dict[str, _Style]:
    """The styles that every port has: `functional` by its name there."""
    flat = f"{setup}\nleaves, treedef = jax.tree.flatten(params)".strip()
    donated = "@partial(jax.jit, donate_argnums=(0, 1))  # the old parameters and state cannot be used again"
    return {
        functional: _Style(setup=setup, it=it),
        "leaves": _Style("leaves", flat, it),
        "donated": _Style(setup=setup, it=it, jit=donated),
    }


STYLES = {
    "pure": _shared("jit"),
    "linen": {"train_state": _Style(trains="train_state"), **_shared("apply")},
    "nnx": {
        "nnx.jit": _Style("model", jit="@nnx.jit", trains="in place"),
        "nnx.jit-tree": _Style(
            "model", jit="@partial(nnx.jit, graph=False)", trains="in place"
        ),
        "jit_partial": _Style(
            "model",
            jit="",
            bind="nnx.jit_partial({}, {}, graph=False)",
            trains="in place",
        ),
        "cached_partial": _Style(
            "model",
            jit="@nnx.jit",
            bind="nnx.cached_partial({}, {})",
            trains="in place",
        ),
        "pytree": _Style("model"),
        **_shared(
            "split-merge",
            "graphdef, params, rest = nnx.split(model, nnx.Param, ...)",
            "nnx.merge(graphdef, {}, rest)",
        ),
    },
    "equinox": {
        "filter_jit": _Style("model", jit="@eqx.filter_jit"),
        "jit": _Style("model"),
        **_shared(
            "partition",
            "params, static = eqx.partition(model, eqx.is_array)",
            "eqx.combine({}, static)",
        ),
    },
}


def code_of(port: str, styles: Mapping[str, str]) -> str:
    """A program of one of trigru's own ports that imports what it needs, makes a model, and uses it in some phases.

    `styles` gives the call style to show each phase in, of forward, step and train_step, in the order of the program.
    Raises an UnavailableError for another port.
    """
    if port not in PORTS:
        raise UnavailableError(
            f"there is no code of port {port!r}: only trigru's own ports have some."
        )
    phases: dict[
        str, dict[str, Any]
    ] = {}  # by phase, what stands in the places of the template
    for phase, name in styles.items():
        style = STYLES[port][name]
        it = style.it.format(
            "treedef.unflatten(leaves)" if style.model == "leaves" else style.model
        )
        passed = "model, optimizer" if phase == "train_step" else style.model
        phases[phase] = vars(style) | {
            "call": PORTS[port].call.format(it),
            "step": PORTS[port].step.format(it),
            "bound": f"bound_{phase} = {style.bind.format(phase, passed)}\n"
            if style.bind
            else "",
            "called": f"bound_{phase}(" if style.bind else f"{phase}({passed}, ",
        }
    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(
        (files(__name__) / "program.jinja").read_text(encoding="utf-8")
    )
    body = template.render(
        port=PORTS[port],
        setups=dict.fromkeys(
            slots["setup"] for slots in phases.values() if slots["setup"]
        ),
        phases=phases,
    )
    imports = ""
    for line in IMPORTS.format(port=port).splitlines():
        head, names = line.rsplit("import ", 1)
        used = [
            name
            for name in names.split(", ")
            if re.search(rf"(?<![.\w]){name.split()[-1]}[.(]", body)
        ]
        if used:
            imports += f"{head}import {', '.join(used)}\n" + "\n" * (
                head == "from functools "
            )
    return f"{imports}\n{body}"

"""The code of each call style, complete and runnable: what `trigru styles` prints, and the docs show.

A program is made from the parts of a template. A row of PORTS says how a model is made and called; a row of STYLES says
what crosses the jit boundary.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template

from ...common.errors import UnavailableError

__all__ = ["code_of", "has_code"]

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
from trigru.impls.$port import GRU, gru, gru_step, init
"""

X = "x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)"
TARGETS = "targets = jax.random.normal(jax.random.key(2), (16, 20, 32))  # (batch, time, hidden)"

LOSS = """
def loss_of($model, x, targets):
    _, outputs = $call
    return jnp.mean((outputs - targets) ** 2)
"""

OPTAX = """
optimizer = optax.adam(1e-3)
opt_state = optimizer.init($params)


${jit}def train_step($model, opt_state, x, targets):
    loss, gradients = $value_and_grad(loss_of)($model, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, $params)
    return $apply_updates($model, updates), opt_state, loss


for count in range(3):
    $model, opt_state, loss = train_step($model, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")
"""

NNX_OPTIMIZER = """
optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


${jit}def train_step(model, optimizer, x, targets):
    loss, gradients = nnx.value_and_grad(loss_of)(model, x, targets)
    optimizer.update(model, gradients)
    return loss


${bound}for count in range(3):
    loss = ${called}x, targets)  # changes the model and the optimizer in place
    print(f"train step {count}: loss {loss}")
"""

TRAIN_STATE = """
state = TrainState.create(apply_fn=module.apply, params=params, tx=optax.adam(1e-3))


@jax.jit
def train_step(state, x, targets):
    def loss_of(params):
        _, outputs = state.apply_fn({"params": params}, x)
        return jnp.mean((outputs - targets) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


for count in range(3):
    state, loss = train_step(state, x, targets)
    print(f"train step {count}: loss {loss}")
params = state.params  # trained
"""

FORWARD = """
${jit}def forward($model, x):
    return $call


${bound}carry, outputs = ${called}x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")
"""

STEP = """
${jit}def step($model, frame, carry=None):
    return $step


${bound}carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = ${called}frame, carry)
print(f"step: output {output.shape}")
"""


@dataclass(frozen=True)
class _Port:
    """How a model is made, called, and takes a step; `$it` is the model, or linen's and plain JAX's parameters."""

    make: str
    call: str
    step: str


PORTS = {
    "pure": _Port(
        f"params = init(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        "gru($it, x)",
        "gru_step($it, frame, carry)",
    ),
    "linen": _Port(
        f"module = GRU(features=32, carry_init=nn.initializers.normal(0.1))\n{X}\n"
        'params = module.init(jax.random.key(0), x)["params"]',
        'module.apply({"params": $it}, x)',
        'module.apply({"params": $it}, frame, carry, method="step")',
    ),
    "nnx": _Port(
        f"model = GRU(8, 32, nnx.initializers.normal(0.1), rngs=nnx.Rngs(0))\n{X}", "$it(x)", "$it.step(frame, carry)"
    ),
    "equinox": _Port(
        f"model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        "jax.vmap($it)(x)",
        "jax.vmap($it.step)(frame, carry)",
    ),
}


@dataclass(frozen=True)
class _Style:
    """The argument at the jit boundary, how it is made, how the model is made of it, and the functions in use.

    `bind` is what the function is called through, where the model is bound to it before the loop.
    """

    model: str = "params"
    setup: str = ""
    it: str = "$tree"
    jit: str = "@jax.jit"
    params: str = "$model"
    value_and_grad: str = "jax.value_and_grad"
    apply_updates: str = "optax.apply_updates"
    bind: str = ""
    train_step: str = OPTAX


def _shared(functional: str, setup: str = "", it: str = "$tree") -> dict[str, _Style]:
    """The styles that every port has: `functional` by its name there."""
    flat = f"{setup}\nleaves, treedef = jax.tree.flatten(params)".strip()
    donated = "@partial(jax.jit, donate_argnums=(0, 1))  # the old parameters and state cannot be used again"
    return {
        functional: _Style(setup=setup, it=it),
        "leaves": _Style("leaves", flat, it),
        "donated": _Style(setup=setup, it=it, jit=donated),
    }


def _in_place(jit: str = "@nnx.jit", bind: str = "") -> _Style:
    """A style of NNX's that changes the model and the optimiser that it is passed."""
    return _Style("model", jit=jit, value_and_grad="nnx.value_and_grad", bind=bind, train_step=NNX_OPTIMIZER)


STYLES = {
    "pure": _shared("jit"),
    "linen": {"train_state": _Style(train_step=TRAIN_STATE), **_shared("apply")},
    "nnx": {
        "nnx.jit": _in_place(),
        "nnx.jit-tree": _in_place("@partial(nnx.jit, graph=False)"),
        "jit_partial": _in_place("", "nnx.jit_partial($function, $passed, graph=False)"),
        "cached_partial": _in_place(bind="nnx.cached_partial($function, $passed)"),
        "pytree": _Style("model"),
        **_shared("split-merge", "graphdef, params = nnx.split(model)", "nnx.merge(graphdef, $tree)"),
    },
    "equinox": {
        "filter_jit": _Style(
            "model",
            jit="@eqx.filter_jit",
            params="eqx.filter(model, eqx.is_array)",
            value_and_grad="eqx.filter_value_and_grad",
            apply_updates="eqx.apply_updates",
        ),
        "jit": _Style("model"),
        **_shared("partition", "params, static = eqx.partition(model, eqx.is_array)", "eqx.combine($tree, static)"),
    },
}


def has_code(port: str) -> bool:
    """Whether there is code of a port, which there is of trigru's own.

    >>> has_code("nnx"), has_code("by-hand")
    (True, False)
    """
    return port in PORTS


def code_of(port: str, styles: Mapping[str, str]) -> str:
    """A program of a port that imports what it needs, makes a model, and uses it in each phase that is given.

    Args:
        port: the name of one of trigru's own.
        styles: the call style to show each phase in, of forward, step and train_step, in the order of the program.

    Raises:
        UnavailableError: there is no code of the port.

    >>> print(code_of("equinox", {"forward": "filter_jit"}))
    import equinox as eqx
    import jax
    from trigru.impls.equinox import GRU
    <BLANKLINE>
    model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
    <BLANKLINE>
    <BLANKLINE>
    @eqx.filter_jit
    def forward(model, x):
        return jax.vmap(model)(x)
    <BLANKLINE>
    <BLANKLINE>
    carry, outputs = forward(model, x)
    print(f"forward: carry {carry.shape}, outputs {outputs.shape}")
    <BLANKLINE>
    """
    if not has_code(port):
        raise UnavailableError(f"there is no code of port {port!r}: only trigru's own ports have some.")
    parts = [part for phase, style in styles.items() for part in _parts(PORTS[port], STYLES[port][style], phase)]
    body = _join(dict.fromkeys(parts))
    return f"{_imports(port, body)}\n\n{body}\n"


def _parts(port: _Port, style: _Style, phase: str) -> list[str]:
    """The parts of a program that a phase needs."""
    made = "\n".join(filter(None, (port.make, style.setup)))
    if style.train_step == TRAIN_STATE:
        parts = [made, TARGETS + TRAIN_STATE]
    else:
        own = {"forward": (FORWARD,), "step": (STEP,), "train_step": (TARGETS, LOSS, style.train_step)}
        parts = [made, *own[phase]]
    slots = _slots(port, style, phase)
    return [_fill(part, slots).strip("\n") for part in parts]


def _slots(port: _Port, style: _Style, phase: str) -> dict[str, str]:
    """The text for each slot of a part; it may have slots again."""
    return vars(style) | {
        "call": port.call,
        "step": port.step,
        "jit": style.jit and f"{style.jit}\n",
        "function": phase,
        "passed": "model, optimizer" if phase == "train_step" else "$model",
        "called": f"bound_{phase}(" if style.bind else f"{phase}($passed, ",
        "bound": f"bound_{phase} = {style.bind}\n" if style.bind else "",
        "tree": "treedef.unflatten(leaves)" if style.model == "leaves" else style.model,
    }


def _fill(part: str, slots: Mapping[str, str]) -> str:
    while "$" in part:
        part = Template(part).substitute(slots)
    return part


def _imports(port: str, body: str) -> str:
    """The imports that code needs."""
    lines = []
    for line in _fill(IMPORTS, {"port": port}).splitlines():
        head, names = line.rsplit("import ", 1)
        used = [name for name in names.split(", ") if re.search(rf"(?<![.\w]){name.split()[-1]}[.(]", body)]
        if used:
            lines.append(f"{head}import {', '.join(used)}" + ("\n" if head == "from functools " else ""))
    return "\n".join(lines)


def _join(parts: Iterable[str]) -> str:
    """Parts one below the other, with two lines between them around functions."""
    joined = ""
    for part in parts:
        apart = part.startswith(("def ", "@")) or joined.rpartition("\n")[2].startswith(" ")
        joined += (("\n\n\n" if apart else "\n\n") if joined else "") + part
    return joined

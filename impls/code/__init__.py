"""The code of each call style, complete and runnable: what `trigru styles` prints, and the docs show.

A program is made from the parts of a template. A port says how its model is made and called; a row of STYLES says what
crosses the jit boundary.
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


$jit
def train_step($model, opt_state, x, targets):
    loss, gradients = $value_and_grad(loss_of)($model, x, targets)
    updates, opt_state = optimizer.update(gradients, opt_state, $params)
    return $apply_updates($model, updates), opt_state, loss


for count in range(3):
    $model, opt_state, loss = train_step($model, opt_state, x, targets)
    print(f"train step {count}: loss {loss}")
"""

NNX_OPTIMIZER = """
optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


$jit
def train_step(model, optimizer, x, targets):
    loss, gradients = nnx.value_and_grad(loss_of)(model, x, targets)
    optimizer.update(model, gradients)
    return loss


${bind_train_step}for count in range(3):
    loss = ${cached}train_step(${both}x, targets)  # changes the model and the optimizer in place
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
$jit
def forward($model, x):
    return $call


${bind_forward}carry, outputs = ${cached}forward(${first}x)
print(f"forward: carry {carry.shape}, outputs {outputs.shape}")
"""

STEP = """
$jit
def step($model, frame, carry=None):
    return $step


${bind_step}carry = None  # the learned one
for frame in x.swapaxes(0, 1):
    carry, output = ${cached}step(${first}frame, carry)
print(f"step: output {output.shape}")
"""

GRADIENT = """
$jit
def gradient($model, x, targets):
    return $value_and_grad(loss_of)($model, x, targets)


${bind_gradient}loss, gradients = ${cached}gradient(${first}x, targets)
of_carry = $of_carry
print(f"gradient: loss {loss}, norm of the initial carry's gradient {jnp.linalg.norm(of_carry)}")
"""


@dataclass(frozen=True)
class _Port:
    """How a port's model is made, called, and takes a step; `$it` stands for the model or its parameters."""

    model: str
    imported: tuple[str, ...]
    make: str
    call: str
    step: str
    of_carry: str = "$gradients.initial_carry"


PORTS = {
    "pure": _Port(
        "params",
        ("gru", "gru_step", "init"),
        f"params = init(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        "gru($it, x)",
        "gru_step($it, frame, carry)",
    ),
    "linen": _Port(
        "params",
        ("GRU",),
        f"module = GRU(features=32, carry_init=nn.initializers.normal(0.1))\n{X}\n"
        'params = module.init(jax.random.key(0), x)["params"]',
        'module.apply({"params": $it}, x)',
        'module.apply({"params": $it}, frame, carry, method="step")',
        '$gradients["initial_carry"]',
    ),
    "nnx": _Port(
        "model",
        ("GRU",),
        f"model = GRU(8, 32, nnx.initializers.normal(0.1), rngs=nnx.Rngs(0))\n{X}",
        "$it(x)",
        "$it.step(frame, carry)",
        '$gradients["initial_carry"][...]',
    ),
    "equinox": _Port(
        "model",
        ("GRU",),
        f"model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))\n{X}",
        "jax.vmap($it)(x)",
        "jax.vmap($it.step)(frame, carry)",
    ),
}


@dataclass(frozen=True)
class _Style:
    """The arguments at the jit boundary, how the model is made of them, and what is jitted by which transform."""

    model: str
    setup: str = ""
    it: str = "$model"
    jit: str = "@jax.jit"
    params: str = "$model"
    value_and_grad: str = "jax.value_and_grad"
    apply_updates: str = "optax.apply_updates"
    of_carry: str = ""  # other than the port's
    cached: str = ""
    train_step: str = OPTAX


DONATED = "@partial(jax.jit, donate_argnums=(0, 1))  # the old parameters and state cannot be used again"
SPLIT = "graphdef, params = nnx.split(model)"
PARTITION = "params, static = eqx.partition(model, eqx.is_array)"
NNX = {"jit": "@nnx.jit", "value_and_grad": "nnx.value_and_grad", "train_step": NNX_OPTIMIZER}
FLATTEN = "leaves, treedef = jax.tree.flatten(params)"

STYLES = {
    ("pure", "jit"): _Style("params"),
    ("pure", "leaves"): _Style("leaves", FLATTEN, "treedef.unflatten(leaves)"),
    ("pure", "donated"): _Style("params", jit=DONATED),
    ("linen", "apply"): _Style("params"),
    ("linen", "leaves"): _Style("leaves", FLATTEN, "treedef.unflatten(leaves)"),
    ("linen", "donated"): _Style("params", jit=DONATED),
    ("linen", "train_state"): _Style("params", train_step=TRAIN_STATE),
    ("nnx", "nnx.jit"): _Style("model", **NNX),
    ("nnx", "nnx.jit-tree"): _Style("model", **NNX | {"jit": "@partial(nnx.jit, graph=False)"}),
    ("nnx", "cached_partial"): _Style("model", cached="cached_", **NNX),
    ("nnx", "pytree"): _Style("model", of_carry="gradients.initial_carry[...]"),
    ("nnx", "split-merge"): _Style("params", SPLIT, "nnx.merge(graphdef, params)"),
    ("nnx", "donated"): _Style("params", SPLIT, "nnx.merge(graphdef, params)", DONATED),
    ("nnx", "leaves"): _Style("leaves", f"{SPLIT}\n{FLATTEN}", "nnx.merge(graphdef, treedef.unflatten(leaves))"),
    ("equinox", "filter_jit"): _Style(
        "model",
        jit="@eqx.filter_jit",
        params="eqx.filter(model, eqx.is_array)",
        value_and_grad="eqx.filter_value_and_grad",
        apply_updates="eqx.apply_updates",
    ),
    ("equinox", "partition"): _Style("params", PARTITION, "eqx.combine(params, static)"),
    ("equinox", "donated"): _Style("params", PARTITION, "eqx.combine(params, static)", DONATED),
    ("equinox", "leaves"): _Style(
        "leaves", f"{PARTITION}\n{FLATTEN}", "eqx.combine(treedef.unflatten(leaves), static)"
    ),
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
        styles: the call style to show each phase in, in the order in which they are shown.

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
    parts = [part for phase, style in styles.items() for part in _parts(PORTS[port], STYLES[port, style], phase)]
    body = _join(dict.fromkeys(parts))
    return f"{_imports(port, body)}\n\n{body}\n"


def _parts(port: _Port, style: _Style, phase: str) -> list[str]:
    """The parts of a program that a phase needs."""
    common = "\n".join(filter(None, (port.make, style.setup)))
    if style.train_step == TRAIN_STATE:
        parts = [common, TARGETS + TRAIN_STATE]
    elif phase == "train_step":
        parts = [common, TARGETS, LOSS, style.train_step]
    else:
        parts = [common, *{"forward": [FORWARD], "step": [STEP], "gradient": [TARGETS, LOSS, GRADIENT]}[phase]]
    slots = _slots(port, style)
    return [_fill(part, slots).strip("\n") for part in parts]


def _slots(port: _Port, style: _Style) -> dict[str, str]:
    slots = vars(style) | {"call": port.call, "step": port.step, "of_carry": style.of_carry or port.of_carry}
    slots["gradients"] = "treedef.unflatten(gradients)" if style.model == "leaves" else "gradients"
    slots |= {"first": "" if style.cached else "$model, ", "both": "" if style.cached else "model, optimizer, "}
    for phase in ("train_step", "forward", "step", "gradient"):
        held = "model, optimizer" if phase == "train_step" else "model"
        bind = f"cached_{phase} = nnx.cached_partial({phase}, {held})\n"
        slots[f"bind_{phase}"] = bind if style.cached else ""
    return slots


def _fill(part: str, slots: Mapping[str, str]) -> str:
    """A part with its slots filled; what fills one may have slots again."""
    while "$" in part:
        part = Template(part).substitute(slots)
    return part


def _imports(port: str, body: str) -> str:
    """The imports that code needs."""
    lines = []
    for line in (*IMPORTS.splitlines(), f"from trigru.impls.{port} import {', '.join(PORTS[port].imported)}"):
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

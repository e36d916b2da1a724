"""A call style is what its label says: the framework's own function is what is called."""

import functools
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.common.port.protocol import DONATED, LABELS
from trigru.common.port.styles import make_task, styles_called
from trigru.common.port.task import PHASES, Task, mean_squared_error
from trigru.impls import get_port, get_style

CONFIG = GRUConfig(4, 8)
X = np.ones((2, 5, 4), "f4")

#: The functions that a style must go through, and those that it must not.
CALLS = [
    ("linen", "train_state", {(TrainState, "create"): True, (TrainState, "apply_gradients"): True}),
    ("nnx", "nnx.jit", {(nnx, "jit"): True, (nnx, "cached_partial"): False, (nnx, "merge"): False}),
    ("nnx", "nnx.jit-tree", {(nnx, "jit"): True, (nnx, "cached_partial"): False}),
    ("nnx", "jit_partial", {(nnx, "jit_partial"): True, (nnx, "jit"): False, (nnx, "merge"): False}),
    ("nnx", "cached_partial", {(nnx, "jit"): True, (nnx, "cached_partial"): True}),
    ("nnx", "pytree", {(nnx, "jit"): False, (nnx, "merge"): False}),
    ("nnx", "split-merge", {(nnx, "split"): True, (nnx, "merge"): True, (nnx, "jit"): False}),
    ("nnx", "leaves", {(nnx, "merge"): True, (nnx, "jit"): False}),
    ("equinox", "filter_jit", {(eqx, "filter_jit"): True, (eqx, "combine"): False}),
    ("equinox", "jit", {(eqx, "filter_jit"): False, (eqx, "combine"): False}),
    ("equinox", "partition", {(eqx, "partition"): True, (eqx, "combine"): True}),
]


def record(monkeypatch, module, name):
    calls, real = [], getattr(module, name)

    @functools.wraps(real)
    def recorder(*args, **kwargs):
        calls.append(kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, recorder)
    return calls


@pytest.mark.parametrize(("name", "style", "functions"), CALLS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_style_goes_through_what_it_is_named_after(monkeypatch, name, style, functions):
    port = get_port(name)
    model = port.load(CONFIG, random_params(CONFIG))
    recorded = {function: record(monkeypatch, *function) for function in functions}
    called = get_style(port, style)
    phase = "forward" if "forward" in called.phases else "train_step"
    program = called.build(port, model, make_task(port, CONFIG, phase, optax.sgd(1.0)))
    program.call(*(X, np.ones((2, 5, 8), "f4"))[: 1 + (phase == "train_step")])
    assert {function: bool(calls) for function, calls in recorded.items()} == functions
    if style in ("nnx.jit-tree", "jit_partial"):
        assert next(iter(recorded.values())) == [{"graph": False}]


def test_every_style_that_a_port_has_of_its_own_is_held_to_its_name(port):
    own = {style.name for style in port.call_styles if not style.labels}
    assert own <= {style for name, style, _ in CALLS if name == port.name}


LEAVES = {"pure": 16, "linen": 34, "nnx": 16, "equinox": 16}
#: Those of styles that pass a count of steps, too: of an nnx.Optimizer, or of linen's TrainState.
COUNTING = {"nnx.jit", "nnx.jit-tree", "jit_partial", "cached_partial", "train_state"}


def test_what_crosses_the_jit_boundary_is_counted(port):
    """Five parameters (linen: eleven), two moments of each, and Adam's count; in the style `leaves` as a list."""
    model, task = port.load(CONFIG, random_params(CONFIG)), make_task(port, CONFIG, "train_step", optax.adam(1e-3))
    programs = {style.name: style.build(port, model, task) for style in port.call_styles}
    assert {name: program.leaves for name, program in programs.items()} == {
        name: LEAVES[port.name] + (name in COUNTING) for name in programs
    }
    (leaves, state, *_), _ = programs["leaves"].lower(X, np.ones((2, 5, 8), "f4")).args_info
    assert isinstance(leaves, list)
    assert len(leaves) + len(jax.tree.leaves(state)) == LEAVES[port.name]


@pytest.mark.parametrize("phase", PHASES)
def test_every_port_has_each_shared_style_once_in_each_phase(port, phase):
    for label in LABELS:
        expected = 1 if label != DONATED or phase == "train_step" else 0
        assert len(styles_called(port, (label,), phase)) == expected, label


PAGE = (Path(__file__).parents[2] / "docs" / "call-styles.md").read_text().partition("## What a call does")[2]
ROWS = np.arange(1.0, 33.0, dtype="f4").reshape(8, 4)
STYLES = [style.name for style in get_port("nnx").call_styles if "forward" in style.phases]


class Net(nnx.Module):
    def __init__(self):
        self.dropout, self.norm = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.norm(self.dropout(x))


class Tied(nnx.Module):
    def __init__(self):
        self.first = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
        self.second = nnx.Linear(4, 4, rngs=nnx.Rngs(1))
        self.second.kernel = self.first.kernel


def program_of(style, model, predict):
    port = get_port("nnx")
    return get_style(port, style).build(port, model, Task("forward", predict, mean_squared_error, optax.sgd(1.0)))


def masks_and_statistics(style):
    model = Net()
    program = program_of(style, model, lambda model, x: model(x))
    first, second = program.call(ROWS), program.call(ROWS)
    moved = bool((model.norm.mean[...] != 0).any())
    return (
        "another mask" if (first != second).any() else "**the same mask, silently**",
        "updated in the module" if moved else "**lost, silently**",
    )


def shared_variable(style):
    def is_shared(model, x):
        return jnp.asarray(model.first.kernel is model.second.kernel)

    return "kept" if program_of(style, Tied(), is_shared).call(ROWS) else "**two, silently**"


def new_attribute(style):
    def add(model, x):
        model.last = nnx.Variable(x)
        return x

    model = Net()
    program_of(style, model, add).call(ROWS)
    return "kept" if hasattr(model, "last") else "**lost, silently**"


def evaluation_mode(style):
    model = Net()
    program = program_of(style, model, lambda model, x: model.dropout(x))
    program.call(ROWS)
    model.eval()
    return "takes effect" if (program.call(ROWS) == ROWS).all() else "**none, silently**"


def or_an_error(report, style):
    try:
        return report(style)
    except ValueError:
        return "an error"


@pytest.mark.parametrize("style", STYLES)
def test_nnx_styles_keep_or_lose_what_a_call_changes_as_the_page_says(style):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| Flax NNX | `{style}` | "))
    *_, mask, statistics, shared, new, mode, _ = (cell.strip() for cell in row.split("|"))
    others = (or_an_error(report, style) for report in (shared_variable, new_attribute))
    assert (mask, statistics, shared, new, mode) == (*masks_and_statistics(style), *others, evaluation_mode(style))


def by_arrays(function):
    """The call of Equinox's functional styles, whose `static` is that of the first model."""
    static = []

    def call(model, x):
        arrays, rest = eqx.partition(model, eqx.is_array)
        static.append(rest)
        return jitted(arrays, x)

    jitted = jax.jit(lambda arrays, x: function(eqx.combine(arrays, static[0]), x))
    return call


@pytest.mark.parametrize(("style", "jit"), [("filter_jit", eqx.filter_jit), ("jit", jax.jit), ("partition", by_arrays)])
def test_equinox_styles_see_another_mode_as_the_page_says(style, jit):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| Equinox | `{style}`"))
    _, _, _, mask, *_, mode, _ = (cell.strip() for cell in row.split("|"))
    call = jit(lambda dropout, x: dropout(x, key=jax.random.key(0)))
    model = eqx.nn.Dropout(0.5)
    if mode == "an error":
        assert mask.startswith("an error")
        with pytest.raises(jax.errors.TracerBoolConversionError):
            call(model, ROWS)
        return
    assert (call(model, ROWS) == 0).any()
    dropped = (call(eqx.nn.inference_mode(model), ROWS) == 0)[ROWS != 0].any()
    assert mode == ("**none, silently**" if dropped else "takes effect")

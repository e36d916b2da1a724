"""A call style is what its label says: the framework's own function is what is called."""

from pathlib import Path
from unittest.mock import Mock

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


@pytest.mark.parametrize(("name", "style", "functions"), CALLS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_style_goes_through_what_it_is_named_after(monkeypatch, name, style, functions):
    port, called = get_port(name), get_style(get_port(name), style)
    model = port.load(CONFIG, random_params(CONFIG))
    recorders = {of: Mock(wraps=getattr(*of)) for of in functions}
    for (module, function), recorder in recorders.items():
        monkeypatch.setattr(
            module, function, lambda *args, call=recorder, **kwargs: call(*args, **kwargs)
        )  # a method, too
    phase = "forward" if "forward" in called.phases else "train_step"
    program = called.build(port, model, make_task(port, CONFIG, phase, optax.sgd(1.0)))
    program.call(*(X, np.ones((2, 5, 8), "f4"))[: 1 + (phase == "train_step")])
    assert {of: recorder.called for of, recorder in recorders.items()} == functions
    if style in ("nnx.jit-tree", "jit_partial"):
        assert [call.kwargs for call in recorders[next(iter(functions))].call_args_list] == [{"graph": False}]


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


def cells_of(framework, style):
    """The row of the page's table: the mask, the statistics, a shared Variable, a new attribute, the mode."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {framework} | `{style}`"))
    return [cell.strip() for cell in row.split("|")[3:-1]]


class Net(nnx.Module):
    """Dropout and running statistics."""

    def __init__(self):
        self.dropout, self.norm = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(1))


class Tied(nnx.Module):
    """Two names of one Variable."""

    def __init__(self):
        self.first = self.second = nnx.Param(jnp.ones(4))


def add(model, x):
    model.last = nnx.Variable(x)
    return x


@pytest.mark.parametrize("style", STYLES)
def test_nnx_styles_keep_or_lose_what_a_call_changes_as_the_page_says(style):
    port, mask, statistics, shared, new, mode = get_port("nnx"), *cells_of("Flax NNX", style)

    def program_of(model, predict):
        task = Task("forward", predict, mean_squared_error, optax.sgd(1.0))
        return get_style(port, style).build(port, model, task).call

    def or_an_error(model, predict, result):
        try:
            called = program_of(model, predict)(ROWS)
        except ValueError:
            return "an error"
        return result(called)

    model = Net()
    call = program_of(model, lambda model, x: model.norm(model.dropout(x)))
    assert mask == ("another mask" if (call(ROWS) != call(ROWS)).any() else "**the same mask, silently**")
    assert statistics == ("updated in the module" if model.norm.mean[...].any() else "**lost, silently**")
    assert shared == or_an_error(
        Tied(),
        lambda model, x: jnp.array(model.first is model.second),
        lambda kept: "kept" if kept else "**two, silently**",
    )
    assert new == or_an_error(model, add, lambda _: "kept" if hasattr(model, "last") else "**lost, silently**")
    model = Net()
    call = program_of(model, lambda model, x: model.dropout(x))
    call(ROWS)
    model.eval()
    assert mode == ("takes effect" if (call(ROWS) == ROWS).all() else "**none, silently**")


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
    mask, *_, mode = cells_of("Equinox", style)
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

"""A call style is what its label says: the framework's own function is what is called."""

import functools

import equinox as eqx
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.common.port.protocol import DONATED, LABELS
from trigru.common.port.styles import make_task, styles_called
from trigru.common.port.task import PHASES
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
    """Five parameters (linen: eleven), two moments of each, and Adam's count."""
    for style in port.call_styles:
        task = make_task(port, CONFIG, "train_step", optax.adam(1e-3))
        program = style.build(port, port.load(CONFIG, random_params(CONFIG)), task)
        assert program.leaves == LEAVES[port.name] + (style.name in COUNTING)


@pytest.mark.parametrize("phase", PHASES)
def test_every_port_has_each_shared_style_once_in_each_phase(port, phase):
    for label in LABELS:
        expected = 1 if label != DONATED or phase == "train_step" else 0
        assert len(styles_called(port, (label,), phase)) == expected, label


def test_leaves_cross_the_boundary_as_a_list(port):
    task = make_task(port, CONFIG, "forward", optax.sgd(1.0))
    program = get_style(port, "leaves").build(port, port.load(CONFIG, random_params(CONFIG)), task)
    (leaves, _), _ = program.lower(X).args_info
    assert isinstance(leaves, list)
    assert len(leaves) == program.leaves
    assert all(hasattr(leaf, "shape") for leaf in leaves)

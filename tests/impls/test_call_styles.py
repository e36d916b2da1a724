"""A call style is what its label says: the framework's own function is what is called."""

import functools

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.common.port.styles import make_task
from trigru.impls import get_port, get_style

CONFIG = GRUConfig(4, 8)
X = np.ones((2, 5, 4), "f4")

#: The functions that a style must go through, and those that it must not.
CALLS = [
    ("nnx", "nnx.jit", {(nnx, "jit"): True, (nnx, "cached_partial"): False, (nnx, "merge"): False}),
    ("nnx", "nnx.jit-tree", {(nnx, "jit"): True, (nnx, "cached_partial"): False}),
    ("nnx", "cached_partial", {(nnx, "jit"): True, (nnx, "cached_partial"): True}),
    ("nnx", "pytree", {(nnx, "jit"): False, (nnx, "merge"): False}),
    ("nnx", "split-merge", {(nnx, "split"): True, (nnx, "merge"): True, (nnx, "jit"): False}),
    ("nnx", "leaves", {(jax.tree, "unflatten"): True, (nnx, "jit"): False, (nnx, "merge"): False}),
    ("equinox", "filter_jit", {(eqx, "filter_jit"): True, (eqx, "combine"): False}),
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
    program = get_style(port, style).build(port, model, make_task(port, CONFIG, "forward", optax.sgd(1.0)))
    program.call(X)
    assert {function: bool(calls) for function, calls in recorded.items()} == functions
    if style == "nnx.jit-tree":
        assert recorded[nnx, "jit"] == [{"graph": False}]


LEAVES = {"pure[jit]": 16, "linen[apply]": 34, "equinox[filter_jit]": 16, "equinox[partition]": 16}
LEAVES |= {f"nnx[{style}]": 17 for style in ("nnx.jit", "nnx.jit-tree", "cached_partial")}
LEAVES |= {f"nnx[{style}]": 16 for style in ("pytree", "split-merge", "leaves")}


def test_what_crosses_the_jit_boundary_is_counted(port):
    """Five parameters (linen: eleven), two moments of each, Adam's count, and an nnx.Optimizer's own step."""
    for style in port.call_styles:
        task = make_task(port, CONFIG, "train_step", optax.adam(1e-3))
        program = style.build(port, port.load(CONFIG, random_params(CONFIG)), task)
        assert program.leaves == LEAVES[f"{port.name}[{style.name}]"]

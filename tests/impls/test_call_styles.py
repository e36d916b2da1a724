"""A call style is what its label says, and the code of it in docs/call-styles.md is what is timed."""

import ast
import re
import textwrap
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.errors import TraceContextError
from flax.training.train_state import TrainState
from trigru.bench.arms.admission import OPTIMIZER
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.common.port.names import DONATED, LABELS, PHASES
from trigru.common.port.styles import make_task, styles_called
from trigru.common.port.task import Batch, Task, mean_squared_error
from trigru.impls import get_port, get_style

CONFIG = GRUConfig(4, 8)
X = np.ones((2, 5, 4), "f4")

#: The functions that a style must go through, and those that it must not.
CALLS = [
    (
        "linen",
        "train_state",
        {(TrainState, "create"): True, (TrainState, "apply_gradients"): True},
    ),
    (
        "nnx",
        "nnx.jit",
        {(nnx, "jit"): True, (nnx, "cached_partial"): False, (nnx, "merge"): False},
    ),
    ("nnx", "nnx.jit-tree", {(nnx, "jit"): True, (nnx, "cached_partial"): False}),
    (
        "nnx",
        "jit_partial",
        {(nnx, "jit_partial"): True, (nnx, "jit"): False, (nnx, "merge"): False},
    ),
    ("nnx", "cached_partial", {(nnx, "jit"): True, (nnx, "cached_partial"): True}),
    ("nnx", "pytree", {(nnx, "jit"): False, (nnx, "merge"): False}),
    (
        "nnx",
        "split-merge",
        {(nnx, "split"): True, (nnx, "merge"): True, (nnx, "jit"): False},
    ),
    ("nnx", "leaves", {(nnx, "merge"): True, (nnx, "jit"): False}),
    ("equinox", "filter_jit", {(eqx, "filter_jit"): True, (eqx, "combine"): False}),
    ("equinox", "jit", {(eqx, "filter_jit"): False, (eqx, "combine"): False}),
    ("equinox", "partition", {(eqx, "partition"): True, (eqx, "combine"): True}),
]
LEAVES = {"pure": 16, "linen": 34, "nnx": 16, "equinox": 16}
#: Those of styles that pass a count of steps, too: of an nnx.Optimizer, or of linen's TrainState.
COUNTING = {"nnx.jit", "nnx.jit-tree", "jit_partial", "cached_partial", "train_state"}
WHOLE_PAGE = (Path(__file__).parents[2] / "docs" / "call-styles.md").read_text(
    encoding="utf-8"
)
PAGE = WHOLE_PAGE.partition("## What a call does")[2]
ROWS = np.arange(1.0, 33.0, dtype="f4").reshape(8, 4)


@pytest.mark.parametrize(
    ("name", "style", "functions"), CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_style_goes_through_what_it_is_named_after(
    monkeypatch, name, style, functions
):
    port, called = get_port(name), get_style(get_port(name), style)
    model = port.load(CONFIG, random_params(CONFIG))
    recorders = {of: Mock(wraps=getattr(*of)) for of in functions}
    for (module, function), recorder in recorders.items():
        monkeypatch.setattr(
            module,
            function,
            lambda *args, call=recorder, **kwargs: call(*args, **kwargs),
        )  # a method, too
    phase = "forward" if "forward" in called.phases else "train_step"
    program = called.build(port, model, make_task(port, phase, optax.sgd(1.0)))
    program.call(*(X, np.ones((2, 5, 8), "f4"))[: 1 + (phase == "train_step")])
    assert {of: recorder.called for of, recorder in recorders.items()} == functions
    if style in ("nnx.jit-tree", "jit_partial"):
        assert [
            call.kwargs for call in recorders[next(iter(functions))].call_args_list
        ] == [{"graph": False}]


def test_what_crosses_the_jit_boundary_is_counted(port):
    """Five parameters (linen: eleven), two moments of each, and Adam's count; in the style `leaves` as a list."""
    model, task = (
        port.load(CONFIG, random_params(CONFIG)),
        make_task(port, "train_step", optax.adam(1e-3)),
    )
    programs = {
        style.name: style.build(port, model, task) for style in port.call_styles
    }
    assert {name: program.leaves for name, program in programs.items()} == {
        name: LEAVES[port.name] + (name in COUNTING) for name in programs
    }
    (leaves, state, *_), _ = (
        programs["leaves"].lower(X, np.ones((2, 5, 8), "f4")).args_info
    )
    assert isinstance(leaves, list)
    assert len(leaves) + len(jax.tree.leaves(state)) == LEAVES[port.name]


def test_every_port_has_each_shared_style_once_in_each_phase_and_its_own_are_held_to_their_names(
    port,
):
    for phase, label in product(PHASES, LABELS):
        expected = 1 if label != DONATED or phase == "train_step" else 0
        assert len(styles_called(port, (label,), phase)) == expected, (phase, label)
    own = {style.name for style in port.call_styles if not style.labels}
    assert own <= {style for name, style, _ in CALLS if name == port.name}


class Net(nnx.Module):
    def __init__(self):
        self.dropout, self.norm = (
            nnx.Dropout(0.5, rngs=nnx.Rngs(0)),
            nnx.BatchNorm(4, rngs=nnx.Rngs(1)),
        )


class Tied(nnx.Module):
    def __init__(self):
        self.first = self.second = nnx.Param(jnp.ones(4))


def add(model, x):
    model.last = nnx.Variable(x)
    return x


@pytest.mark.parametrize(
    "style",
    [style.name for style in get_port("nnx").call_styles if "forward" in style.phases],
)
def test_nnx_styles_keep_or_lose_what_a_call_changes_as_the_page_says(style):
    port, row = (
        get_port("nnx"),
        next(
            line
            for line in PAGE.splitlines()
            if line.startswith(f"| Flax NNX | `{style}`")
        ),
    )
    mask, statistics, shared, new, mode = (
        cell.strip() for cell in row.split("|")[3:-1]
    )

    def program_of(model, predict):
        task = Task("forward", predict, mean_squared_error, optax.sgd(1.0))
        return get_style(port, style).build(port, model, task).call

    def said(model, predict, is_kept, otherwise):
        try:
            return "kept" if is_kept(program_of(model, predict)(ROWS)) else otherwise
        except ValueError:
            return "an error"

    model = Net()
    try:
        call = program_of(model, lambda model, x: model.norm(model.dropout(x)))
        assert mask == (
            "another mask"
            if (call(ROWS) != call(ROWS)).any()
            else "**the same mask, silently**"
        )
        assert statistics == (
            "updated in the module"
            if model.norm.mean[...].any()
            else "**lost, silently**"
        )
    except TraceContextError:
        assert mask == statistics == "an error"
    assert shared == said(
        Tied(),
        lambda model, x: jnp.array(model.first is model.second),
        bool,
        "**two, silently**",
    )
    assert new == said(
        model, add, lambda _: hasattr(model, "last"), "**lost, silently**"
    )
    model = Net()
    call = program_of(
        model, lambda model, x: x if model.dropout.deterministic else 2 * x
    )
    call(ROWS)
    model.eval()
    assert mode == (
        "takes effect" if (call(ROWS) == ROWS).all() else "**none, silently**"
    )


# The programs of the page --------------------------------------------------------------------------------------------

TITLES = {
    "Plain JAX": "pure",
    "Flax linen": "linen",
    "Flax NNX": "nnx",
    "Equinox": "equinox",
}
#: A tab of the page, up to the next one or the next section.
TAB = re.compile(r'^=== "(.+?)"\n(.*?)(?=^=== |^## |\Z)', re.MULTILINE | re.DOTALL)
#: A program, after the name of its style if it shows one.
PROGRAM = re.compile(
    r"(?:^`(\S+)`:\n\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def programs(section):
    """The programs of a section of the page, by port and style; that of the style None makes the model."""
    text = WHOLE_PAGE.partition(f"## {section}\n")[2]
    text = text.partition("\n## ")[0]
    found = {}
    for title, tab in TAB.findall(text):
        for style, code in PROGRAM.findall(textwrap.dedent(tab)):
            found[TITLES[title], style or None] = code
    return found


FORWARD = programs("A forward pass in each style")
SHOWN = [
    (name, style.name, "forward", FORWARD[name, None] + FORWARD[name, style.name])
    for name in TITLES.values()
    for style in get_port(name).call_styles
    if "forward" in style.phases
]
for label, section in (
    ("documented", "A train step, as the documentation writes it"),
    ("functional", "A train step in the functional style"),
):
    for (name, _), code in programs(section).items():
        (style,) = styles_called(get_port(name), (label,), "train_step")
        SHOWN.append((name, style, "train_step", code))


def lowered(text, phase):
    """The names of a program that is run, and its jitted function as lowered for what it was last called with."""
    names = {"__name__": "program"}
    exec(compile(text, "program", "exec"), names)

    calls = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            calls[ast.unparse(node.func)] = node.args

    bound = calls.get("nnx.cached_partial", [])[1:]
    passed = calls.get(f"bound_{phase}", calls.get(phase))
    arguments = [eval(ast.unparse(node), names) for node in [*bound, *passed]]
    jitted = names[f"bound_{phase}" if "nnx.jit_partial" in calls else phase]
    return names, jitted.lower(*arguments)


@pytest.mark.parametrize(
    ("name", "style", "phase", "code"),
    SHOWN,
    ids=[f"{name}-{style}-{phase}" for name, style, phase, _ in SHOWN],
)
def test_the_code_on_the_page_is_what_is_timed(name, style, phase, code):
    """One program before optimisation, so that values are the same, too."""
    port = get_port(name)
    config = GRUConfig(8, 32, carry_init=jax.nn.initializers.normal(0.1))
    names, shown = lowered(code, phase)

    task = make_task(port, phase, OPTIMIZER)
    model = port.make(config, jax.random.key(0))
    program = get_style(port, style).build(port, model, task)
    arguments = Batch(names["x"], names.get("targets")).arguments(phase)
    timed = program.lower(*arguments)

    # of its function and of its results
    names_of_jit = re.compile(r'@jit_\w+|jax.result_info = "[^"]*"')
    shown_text = names_of_jit.sub("", shown.as_text())
    assert shown_text == names_of_jit.sub("", timed.as_text())


def test_the_page_has_a_train_step_of_every_framework_and_a_forward_pass_in_every_style():
    trains = {name for name, _, phase, _ in SHOWN if phase == "train_step"}
    assert trains == {"linen", "nnx", "equinox"}
    shown = {(name, style) for name, style in FORWARD if style is not None}
    assert shown == {(n, style) for n, style, phase, _ in SHOWN if phase == "forward"}

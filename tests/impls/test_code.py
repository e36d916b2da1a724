"""The code that is handed out runs, and is what is timed: the same values from the same compiled program."""

import ast
import re

import jax
import numpy as np
import pytest
from trigru.bench.arms.admission import OPTIMIZER
from trigru.common.config import GRUConfig
from trigru.common.errors import UnavailableError
from trigru.common.port.protocol import DOCUMENTED
from trigru.common.port.styles import make_task, styles_called
from trigru.common.port.task import Batch
from trigru.impls import code, get_port, get_style
from trigru.impls.code import code_of

OWN = ("pure", "linen", "nnx", "equinox")
PHASES = ("forward", "step", "train_step")  # that programs show
STYLES = [
    (port, style.name, phase)
    for port in OWN
    for style in get_port(port).call_styles
    for phase in PHASES
    if phase in style.phases
]
#: What every program makes.
CONFIG = GRUConfig(8, 32, carry_init=jax.nn.initializers.normal(0.1))


def run(text):
    """The names of a program that was run."""
    names = {"__name__": "program"}
    exec(compile(text, "program", "exec"), names)
    return names


def lowered(text, phase):
    """The program of a jitted function, for what it was last called with."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    calls, names = {ast.unparse(node.func): node.args for node in nodes}, run(text)
    arguments = [*calls.get("nnx.cached_partial", ())[1:], *calls.get(f"bound_{phase}", calls.get(phase))]
    jitted = f"bound_{phase}" if "nnx.jit_partial" in calls else phase
    return names, names[jitted].lower(*(eval(ast.unparse(argument), names) for argument in arguments))


def as_handed_to_xla(lowered):
    """A program before optimisation, without the names of its function and of its results."""
    return re.sub(r'@jit_\w+|jax.result_info = "[^"]*"', "", lowered.as_text())


def test_there_is_code_of_every_style_and_no_other():
    listed = {(name, style) for name, styles in code.STYLES.items() for style in styles}
    assert listed == {(name, style) for name, style, _ in STYLES}


@pytest.mark.parametrize(("name", "style", "phase"), STYLES)
def test_the_code_is_what_is_timed(name, style, phase):
    """One program before optimisation, so that values are the same, too."""
    port = get_port(name)
    names, shown = lowered(code_of(name, {phase: style}), phase)
    task = make_task(port, CONFIG, phase, OPTIMIZER)
    program = get_style(port, style).build(port, port.make(CONFIG, jax.random.key(0)), task)
    arguments = Batch(names["x"], names.get("targets")).arguments(phase)
    if phase == "step":
        arguments = names["x"][:, 0], names["carry"]
    assert as_handed_to_xla(shown) == as_handed_to_xla(program.lower(*arguments))


def test_of_another_port_there_is_no_code():
    with pytest.raises(UnavailableError, match="there is no code of port 'upstream'"):
        code_of("upstream", {"forward": "apply"})


@pytest.mark.parametrize("name", ["linen", "nnx"])  # two styles in one program; a model that changes in place
def test_several_phases_in_one_program_train_and_then_use_what_was_trained(name, capsys):
    styles = {p: styles_called(get_port(name), (DOCUMENTED,), p)[0] for p in ("train_step", "forward", "step")}
    names = run(code_of(name, styles))
    printed = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["train step 0", "train step 1", "train step 2", "forward", "step"]
    np.testing.assert_allclose(names["outputs"][:, -1], names["output"], rtol=1e-5, atol=1e-6)
    before = run(code_of(name, {"forward": styles["forward"]}))
    assert (before["outputs"] != names["outputs"]).any(), "the model that was trained"

"""What a call in each style does to a model that has more than parameters, as docs/call-styles.md says it."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.port.task import Task, mean_squared_error
from trigru.impls import get_port, get_style

PAGE = (Path(__file__).parents[2] / "docs" / "call-styles.md").read_text().partition("## What a call does")[2]
X = np.arange(1.0, 33.0, dtype="f4").reshape(8, 4)
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
    first, second = program.call(X), program.call(X)
    moved = bool((model.norm.mean[...] != 0).any())
    return (
        "another mask" if (first != second).any() else "**the same mask, silently**",
        "updated in the module" if moved else "**lost, silently**",
    )


def shared_variable(style):
    def is_shared(model, x):
        return jnp.asarray(model.first.kernel is model.second.kernel)

    return "kept" if program_of(style, Tied(), is_shared).call(X) else "**two, silently**"


def new_attribute(style):
    def add(model, x):
        model.last = nnx.Variable(x)
        return x

    model = Net()
    program_of(style, model, add).call(X)
    return "kept" if hasattr(model, "last") else "**lost, silently**"


def evaluation_mode(style):
    model = Net()
    program = program_of(style, model, lambda model, x: model.dropout(x))
    program.call(X)
    model.eval()
    return "takes effect" if (program.call(X) == X).all() else "**none, silently**"


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
            call(model, X)
        return
    assert (call(model, X) == 0).any()
    dropped = (call(eqx.nn.inference_mode(model), X) == 0)[X != 0].any()
    assert mode == ("**none, silently**" if dropped else "takes effect")

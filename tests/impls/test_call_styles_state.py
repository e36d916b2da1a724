"""What a call in each style does to a model that has more than parameters, as docs/call-styles.md says it."""

from pathlib import Path

import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.port.task import Task, mean_squared_error
from trigru.impls import get_port, get_style

PAGE = (Path(__file__).parents[2] / "docs" / "call-styles.md").read_text().partition("## What a call does")[2]
X = np.arange(1.0, 33.0, dtype="f4").reshape(8, 4)
SAID = {
    ("another mask", "updated in the module"): (True, True),
    ("**the same mask, silently**", "**lost, silently**"): (False, False),
}


class Net(nnx.Module):
    def __init__(self):
        self.dropout, self.norm = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.norm(self.dropout(x))


def forward():
    return Task("forward", lambda model, x: model(x), mean_squared_error, optax.sgd(1.0))


@pytest.mark.parametrize("style", [style.name for style in get_port("nnx").call_styles if "forward" in style.phases])
def test_nnx_styles_keep_or_lose_what_a_call_changes_as_the_page_says(style):
    row = next(
        line for line in PAGE.splitlines() if line.startswith(f"| Flax NNX | `{style}` | ") and "http" not in line
    )
    _, _, _, mask, statistics, _ = (cell.strip() for cell in row.split("|"))
    model = Net()
    program = get_style(get_port("nnx"), style).build(get_port("nnx"), model, forward())
    first, second = program.call(X), program.call(X)
    moved = bool((model.norm.mean[...] != 0).any())
    assert (bool((first != second).any()), moved) == SAID[mask, statistics]

"""A module of PyTorch is the reference of a port, and is compared in float64 as any model is."""

from pathlib import Path

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from trigru.parity import Model, compare

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 6)).astype("float32")


def lines_of(result):
    """The text of the candidate's lines and of the reference's, the likeliest first."""
    pairs = [(place.candidate, place.reference) for place in result.places[:3]]
    return [[at.text for at in some if at is not None] for some in zip(*pairs, strict=True)]


class TorchMLP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 16)
        self.norm = torch.nn.LayerNorm(16)
        self.second = torch.nn.Linear(16, 3)

    def forward(self, x):
        h = torch.nn.functional.gelu(self.first(x))
        h = self.norm(h)
        return self.second(h)


class MLP(linen.Module):
    epsilon: float = 1e-5
    approximate: bool = False

    @linen.compact
    def __call__(self, x):
        h = linen.Dense(16, name="first")(x)
        h = linen.gelu(h, approximate=self.approximate)
        h = linen.LayerNorm(epsilon=self.epsilon, name="norm")(h)
        return linen.Dense(3, name="second")(h)


def linen_mlp(**keywords):
    module = MLP(**keywords)
    return Model.linen(module, module.init(jax.random.key(0), X))


def test_an_mlp_is_the_same():
    result = compare(Model.torch(TorchMLP()), linen_mlp(), X)
    assert result.verdict == "same", str(result)
    assert {(m.candidate, *m.reference, m.how) for m in result.parameters.matched} == {
        ("first/kernel", "first/weight", "transposed"),
        ("first/bias", "first/bias", "as it is"),
        ("norm/scale", "norm/weight", "as it is"),
        ("norm/bias", "norm/bias", "as it is"),
        ("second/kernel", "second/weight", "transposed"),
        ("second/bias", "second/bias", "as it is"),
    }


@pytest.mark.parametrize(
    ("keywords", "mine", "theirs"),
    [
        ({"approximate": True}, "h = linen.gelu(h, approximate=self.approximate)", "gelu(self.first(x))"),
        ({"epsilon": 1e-6}, 'h = linen.LayerNorm(epsilon=self.epsilon, name="norm")(h)', "h = self.norm(h)"),
    ],
)
def test_a_fault_of_an_mlp_is_placed(keywords, mine, theirs):
    result = compare(Model.torch(TorchMLP()), linen_mlp(**keywords), X)
    candidates, references = lines_of(result)
    print(result)
    assert result.verdict == "another"
    assert mine in candidates[0]
    assert any(theirs in text for text in references)

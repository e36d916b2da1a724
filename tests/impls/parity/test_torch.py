"""A module of PyTorch is the reference of a port, and is compared in float64 as any model is."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.errors import InputError
from trigru.parity import Model, compare

torch = pytest.importorskip("torch")
torch_program = pytest.importorskip("trigru.impls.parity.torch_program")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 6)).astype("float32")


@pytest.fixture(autouse=True)
def seeded_torch():
    torch.manual_seed(3)


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
    stopped: bool = False

    @linen.compact
    def __call__(self, x):
        h = linen.Dense(16, name="first")(x)
        h = linen.gelu(h, approximate=self.approximate)
        h = jax.lax.stop_gradient(h) if self.stopped else h
        h = linen.LayerNorm(epsilon=self.epsilon, name="norm")(h)
        return linen.Dense(3, name="second")(h)


def linen_mlp(**keywords):
    module = MLP(**keywords)
    return Model.linen(module, module.init(jax.random.key(0), X))


def test_a_draw_of_pytorch_is_uniform():
    reference = Model.torch(TorchMLP(), make=TorchMLP)
    before = torch.get_rng_state()
    module = MLP()
    made = Model.linen(
        module, module.init(jax.random.key(0), X), make=lambda key: module.init(key, X)
    )
    result = compare(reference, made, X)
    assert (
        result.verdict,
        [sentence.partition(":")[0] for sentence in result.draws],
    ) == (
        "same",
        ["first/bias", "first/kernel", "second/bias", "second/kernel"],
    )
    assert torch.equal(before, torch.get_rng_state())


def test_an_optimizer_is_refused():
    with pytest.raises(InputError, match="takes no optimizer"):
        Model.torch(TorchMLP(), optimizer=optax.sgd(0.1))


def test_a_stopped_gradient_is_placed():
    result = compare(Model.torch(TorchMLP()), linen_mlp(stopped=True), X)
    assert (
        result.places[0].candidate.text
        == "h = jax.lax.stop_gradient(h) if self.stopped else h"
    )
    assert result.places[0].cause == "Without it, the gradients agree."


class PaddedTorch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(7, 6, padding_idx=2)
        self.head = torch.nn.Linear(6, 3)

    def forward(self, tokens):
        return self.head(torch.tanh(self.words(tokens)))


class Padded(linen.Module):
    @linen.compact
    def __call__(self, tokens):
        embedded = linen.Embed(7, 6, name="words")(tokens)
        return linen.Dense(3, name="head")(jnp.tanh(embedded))


def test_the_row_without_a_gradient_is_named():
    tokens = np.array([[0, 1, 2, 3, 4], [2, 5, 6, 0, 2]])
    module = Padded()
    candidate = Model.linen(module, module.init(jax.random.key(0), tokens))
    result = compare(Model.torch(PaddedTorch()), candidate, tokens)
    assert result.verdict == "another"
    words = "words/weight, in 6 of 42 numbers, all in entry 2 of 7 along axis 0"
    assert words in result.reason
    (place,) = result.places[:1]
    assert place.candidate.text == 'embedded = linen.Embed(7, 6, name="words")(tokens)'
    assert place.reference.operation == "embedding_dense_backward"


def test_a_module_of_bfloat16_is_run_in_its_own_dtype():
    module = torch.nn.Linear(6, 3).bfloat16()
    module.register_forward_hook(
        lambda own, _, y: (y, own.bias)
    )  # a parameter may be an output, too
    reference = Model.torch(
        module, method="__call__", inputs=lambda x: x.to(module.weight.dtype)
    )
    params = {
        "kernel": jnp.ones((6, 3), jnp.bfloat16),
        "bias": jnp.ones(3, jnp.bfloat16),
    }
    candidate = Model(
        params,
        lambda p, x: (
            x.astype(p["bias"].dtype) @ p["kernel"] + p["bias"][None],
            p["bias"],
        ),
    )
    result = compare(reference, candidate, X)
    assert result.verdict == "same", str(result)
    assert 1e-4 < result.errors["error in its own dtype"] < 1e-1


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(5)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x)))
        h = h.mean((2, 3))
        return self.head(h)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 5, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(5, momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        h = nnx.relu(self.norm(self.conv(x)))
        return self.head(h.mean((1, 2)))


def test_batch_norm_has_another_running_variance():
    """PyTorch keeps the unbiased variance, and Flax the biased one: the outputs agree, and the new state does not."""
    candidate = Model.nnx(Net(nnx.Rngs(0)), inputs=lambda x: jnp.moveaxis(x, 1, -1))
    result = compare(
        Model.torch(TorchNet()),
        candidate,
        RNG.normal(size=(4, 3, 5, 5)).astype("float32"),
    )
    assert result.verdict == "another"
    assert result.errors["outputs (train)"] < 1e-12
    assert result.errors["new state norm/mean (train)"] < 1e-12
    assert result.errors["new state norm/var (train)"] > 1e-4


def torch_lstm():
    return torch.nn.LSTM(6, 8, batch_first=True)


class Recurrent(linen.Module):
    """Gates in PyTorch's order."""

    order: tuple = (0, 1, 2, 3)

    @linen.compact
    def __call__(self, x):
        weight_ih = self.param("weight_ih", linen.initializers.lecun_normal(), (6, 32))
        weight_hh = self.param("weight_hh", linen.initializers.orthogonal(), (8, 32))
        bias = sum(
            self.param(name, linen.initializers.normal(), (32,))
            for name in ("bias_ih", "bias_hh")
        )

        def step(carry, x):
            h, c = carry
            gates = jnp.split(x @ weight_ih + h @ weight_hh + bias[None], 4, axis=-1)
            i, f, g, o = (gates[n] for n in self.order)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[0], 8), x.dtype)
        (h, c), outputs = jax.lax.scan(step, (start, start), jnp.moveaxis(x, 1, 0))
        return jnp.moveaxis(outputs, 0, 1), h[None], c[None]


SEQUENCES = RNG.normal(size=(4, 5, 6)).astype("float32")


def recurrent(**keywords):
    module = Recurrent(**keywords)
    return Model.linen(module, module.init(jax.random.key(0), SEQUENCES))


class Block(nnx.Module):
    def __init__(self, rngs):
        self.in_proj = nnx.Linear(8, 24, rngs=rngs)
        self.out_proj = nnx.Linear(8, 8, rngs=rngs)
        self.linear1 = nnx.Linear(8, 16, rngs=rngs)
        self.linear2 = nnx.Linear(16, 8, rngs=rngs)
        self.norm1 = nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs)
        self.norm2 = nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs)

    def __call__(self, x):
        q, k, v = (
            a.reshape(3, 5, 2, 4) for a in jnp.split(self.in_proj(x), 3, axis=-1)
        )
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 2
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), v)
        x = self.norm1(x + self.out_proj(mixed.reshape(3, 5, 8)))
        return self.norm2(x + self.linear2(nnx.relu(self.linear1(x))))


TOKENS = RNG.normal(size=(3, 5, 8)).astype("float32")


def block():
    return Model.nnx(Block(nnx.Rngs(0)))


class TorchInPlace(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.scale = torch.linspace(0.1, 1, 8)
        self.register_buffer("table", torch.linspace(0.2, 3, 8).sin())

    def forward(self, x):
        h = torch.nn.functional.dropout(self.first(x), 0.5, self.training)
        h = h + self.table
        h[:, 2:4] *= 0.1
        h.add_(torch.arange(8, dtype=torch.float32) * 0.1)
        return h.to(torch.float16).tanh() * self.scale


def in_place(first=0.1):
    def function(params, x, *, rate):
        h = x @ params["kernel"] + params["bias"][None]
        h = jnp.where(
            jax.random.bernoulli(jax.random.key(0), 1 - rate, h.shape),
            h / (1 - rate),
            0.0,
        )
        h = h + jnp.sin(jnp.linspace(0.2, 3, 8))[None]
        h = h.at[:, 2:4].multiply(first)
        h = h + (jnp.arange(8) * 0.1)[None]
        return jnp.tanh(h) * jnp.linspace(0.1, 1, 8)[None]

    params = {"kernel": jnp.asarray(RNG.normal(size=(6, 8))), "bias": jnp.ones(8)}
    return Model(params, function, train={"rate": 0.5}, eval={"rate": 0.0})


@pytest.mark.parametrize(
    ("module", "candidate", "x", "pair"),
    [
        (TorchMLP, linen_mlp, X, ("first/kernel", ("first/weight",), "transposed")),
        (torch_lstm, recurrent, SEQUENCES, ("bias_hh", ("bias_hh_l0",), "as it is")),
        (
            lambda: torch.nn.TransformerEncoderLayer(
                8, 2, 16, dropout=0.0, batch_first=True
            ),
            block,
            TOKENS,
            ("in_proj/kernel", ("self_attn/in_proj_weight",), "transposed"),
        ),
        (TorchInPlace, in_place, X, ("kernel", ("first/weight",), "transposed")),
    ],
)
def test_the_same_function(module, candidate, x, pair):
    """Also where numbers are written in place, cast, dropped or rounded."""
    result = compare(Model.torch(module()), candidate(), x)
    assert result.verdict == "same", str(result)
    assert pair in {
        (m.candidate, m.reference, m.how) for m in result.parameters.matched
    }
    assert not result.parameters.only_candidate


class TorchBranch(torch.nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y if x[0, 0] == float(X[0, 0]) else 2 * y


@dataclass
class Answer(OrderedDict):
    """Outputs as the models of Hugging Face return them, in an order that is not that of their names."""

    logits: Any
    loss: Any
    hidden: Any

    def __post_init__(self):
        self.update(logits=self.logits, loss=self.loss, hidden=self.hidden)


@dataclass
class Pair:
    second: Any
    first: Any


@pytest.mark.parametrize(
    ("outputs", "order"),
    [
        (lambda a, b: Answer(logits=a, loss=None, hidden=(b,)), "ab"),
        (lambda a, b: Pair(second=a, first=b), "ab"),
        (lambda a, b: (a, None, [b]), "ab"),
        (lambda a, b: {"z": a, "y": {"x": b}}, "ba"),
    ],
    ids=["a model output", "a dataclass", "a tuple", "a dict"],
)
def test_outputs_of_any_structure_count_as_their_arrays(outputs, order):
    a, b = torch.zeros(2), torch.ones(3)
    tensors = torch_program.tensors_of(outputs(a, b))
    expected = {"a": a, "b": b}
    assert [id(tensor) for tensor in tensors] == [id(expected[n]) for n in order]


class Answering(TorchMLP):
    def forward(self, x):
        h = self.first(x)
        return Answer(logits=self.second(self.norm(h)), loss=None, hidden=(h,))


def test_a_model_whose_outputs_are_a_record_is_compared():
    class Two(linen.Module):
        @linen.compact
        def __call__(self, x):
            h = linen.Dense(16, name="first")(x)
            y = linen.LayerNorm(epsilon=1e-5, name="norm")(h)
            return linen.Dense(3, name="second")(y), h

    module = Two()
    candidate = Model.linen(module, module.init(jax.random.key(0), X))
    result = compare(Model.torch(Answering()), candidate, X)
    assert result.verdict == "same"


def test_a_branch_that_other_inputs_take_is_seen():
    dense = linen.Dense(3)
    result = compare(
        Model.torch(TorchBranch(6, 3)),
        Model.linen(dense, dense.init(jax.random.key(0), X)),
        X,
    )
    assert result.verdict == "another", str(result)
    assert set(result.errors) == {"outputs (eval)", "outputs (train)"}
    assert not result.places


@pytest.mark.parametrize(
    ("module", "candidate", "x", "mine", "theirs"),
    [
        (
            TorchMLP,
            lambda: linen_mlp(approximate=True),
            X,
            "h = linen.gelu(",
            "gelu(self.first(x))",
        ),
        (
            TorchMLP,
            lambda: linen_mlp(epsilon=1e-6),
            X,
            "h = linen.LayerNorm(",
            "h = self.norm(h)",
        ),
        (
            TorchInPlace,
            lambda: in_place(first=0.2),
            X,
            "h.at[:, 2:4]",
            "h[:, 2:4] *= 0.1",
        ),
    ],
)
def test_a_fault_is_placed(module, candidate, x, mine, theirs):
    result = compare(Model.torch(module()), candidate(), x)
    assert result.verdict == "another"
    assert any(
        place.candidate and mine in place.candidate.text for place in result.places[:2]
    ), str(result)
    assert any(
        place.reference and theirs in place.reference.text
        for place in result.places[:3]
    ), str(result)


@pytest.mark.long
def test_exchanged_gates_are_the_same_function_only_if_the_weights_are_exchanged_too():
    exchanged = (0, 1, 3, 2)
    result = compare(Model.torch(torch_lstm()), recurrent(order=exchanged), SEQUENCES)
    assert result.verdict == "only if", str(result)

    in_doubt = [line.split("'")[1] for line in result.mapping]
    assert in_doubt == ["bias_hh", "bias_ih", "weight_hh", "weight_ih"]

    place = result.places[0].candidate
    assert place is not None, str(result)
    assert "jnp.split(" in place.text, str(result)


class WithFrozenTable(torch.nn.Module):
    """Adds a table of positions that is not trained."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(4, 6), requires_grad=False)
        self.dense = torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.dense(x + self.table)


def test_a_frozen_table_may_be_a_constant_of_the_candidate():
    old = WithFrozenTable()
    table = old.table.numpy()
    dense = linen.Dense(3)
    variables = dense.init(jax.random.key(0), X)
    candidate = Model.linen(dense, variables, inputs=lambda x: x + table)
    result = compare(Model.torch(old), candidate, X)
    assert result.verdict == "same"
    assert result.parameters.only_reference == ("table",)


def test_a_frozen_table_may_be_a_parameter_whose_gradient_is_stopped():
    old = WithFrozenTable()
    params = {
        "table": old.table.numpy(),
        "weight": RNG.normal(size=(3, 6)),
        "bias": RNG.normal(size=3),
    }

    def add_table(params, x):
        moved = x + jax.lax.stop_gradient(params["table"])
        return moved @ params["weight"].T + params["bias"][None]

    result = compare(Model.torch(old), Model(params, add_table), X)
    assert result.verdict == "same"


class TorchComplex(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 6, dtype=torch.complex64))

    def forward(self, x):
        return (x.to(self.weight.dtype) @ self.weight.T).real


def test_complex_parameters_are_widened():
    params = {"weight": RNG.normal(size=(3, 6)) + 1j * RNG.normal(size=(3, 6))}
    candidate = Model(params, lambda params, x: (x @ params["weight"].T).real)
    result = compare(Model.torch(TorchComplex()), candidate, X)
    assert result.verdict == "same"


def test_a_complex_parameter_is_no_pair_of_real_ones():
    params = {"real": RNG.normal(size=(3, 6)), "imag": RNG.normal(size=(3, 6))}

    def call(params, x):
        return (x @ (params["real"] + 1j * params["imag"]).T).real

    result = compare(Model.torch(TorchComplex()), Model(params, call), X)
    assert result.verdict == "unknown"
    assert result.parameters.only_reference == ("weight",)

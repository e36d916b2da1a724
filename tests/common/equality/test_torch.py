"""torch.nn.GRU, written by strangers, gives the oracle's and every port's values and gradients."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from trigru.common.equality import oracle
from trigru.common.equality.bounds import relative_error
from trigru.common.equality.cases import Case
from trigru.common.parameters.record import leaves

torch = pytest.importorskip("torch", reason="torch is not installed: `pip install torch` to ask it, too")

BOUND = 1e-12


@dataclass(frozen=True)
class Asked:
    """A way to run sequences that torch has as well.

    `packed` means lengths, with NaN in the padding; `reverse` is the second direction of a bidirectional torch GRU.
    """

    packed: bool = False
    reverse: bool = False
    time_major: bool = False

    def options(self, case):
        """What a port or the oracle is passed for it, in NumPy."""
        flags = {"reverse": self.reverse, "time_major": self.time_major}
        return flags | ({"lengths": case.lengths} if self.packed else {})


#: (batch, time, input_size, hidden_size), and whether a carry is passed, one for each example
SITUATIONS = {
    "learned": ((4, 7, 5, 6), False),
    "passed": ((4, 7, 5, 6), True),
    "T=1": ((3, 1, 5, 6), False),
    "B=1": ((1, 7, 5, 6), True),
}
WAYS = {
    "whole": Asked(),
    "time-major": Asked(time_major=True),
    "packed": Asked(packed=True),
    "reverse": Asked(reverse=True),
    "packed-reverse": Asked(packed=True, reverse=True),
}


@pytest.fixture(autouse=True)
def full_precision():
    """JAX multiplies in the dtype of its arguments, which may be float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def asked(request):
    """Each way to run sequences."""
    return request.param


@pytest.fixture(params=SITUATIONS.values(), ids=SITUATIONS)
def situation(request):
    """Each size and start."""
    return request.param


@pytest.fixture
def passed(situation):
    """Whether a carry is passed."""
    return situation[1]


@pytest.fixture
def sequences(rng, asked, situation):
    """A case in float64 with unsorted lengths of at least 1, which is as short as torch can pack."""
    (batch, time, *features), _ = situation
    case = Case.random(batch, time, *features, seed=int(rng.integers(2**32)))
    lengths = rng.integers(1, time + 1, batch)
    lengths[-1], lengths[0] = time, max(1, time // 2)
    case = replace(case, lengths=lengths.astype("int32"))
    if asked.packed:
        padding = np.arange(time) >= lengths[:, None]  # (B, T)
        case = replace(case, x=np.where(padding[..., None], np.nan, case.x))
    if asked.time_major:
        case = replace(case, x=case.x.swapaxes(0, 1), targets=case.targets.swapaxes(0, 1))
    return case


def test_the_oracle_is_torchs_gru(asked, sequences, passed):
    compare("oracle", oracle_answers(sequences, asked, passed), torch_answers(sequences, asked, passed))


def compare(name, got, want):
    """Print each quantity's error, and hold it to the bound."""
    assert set(got) == set(want)
    for quantity, reference in want.items():
        assert np.shape(got[quantity]) == np.shape(reference), quantity
        error = relative_error(got[quantity], reference)
        print(f"{name}: {quantity} {error:.1e}")
        assert error <= BOUND, quantity


# Answers: values, and the gradients of Σ outputs · targets + Σ carry · d_carry --------------------------------------


def oracle_answers(case, asked, passed):
    tape = oracle.forward(case.params.gru, case.x, case.carry if passed else None, **asked.options(case))
    found = oracle.backward(case.params.gru, tape, case.targets, case.d_carry)
    return answers(tape.carry, tape.outputs, found.params, found.x, *([found.carry] if passed else []))


def torch_answers(case, asked, passed):
    """Those of torch, its gradients moved to the canonical layout."""
    module, (carry, outputs, x, start) = run_torch(case, asked, passed)
    H = case.carry.shape[-1]
    suffix = "_l0_reverse" if asked.reverse else "_l0"
    grads = {name: getattr(module, name + suffix).grad for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    gradients = {
        "weight_ih": grads["weight_ih"],
        "weight_hh": grads["weight_hh"],
        "bias": grads["bias_ih"],
        "bias_n": grads["bias_hh"][2 * H :],
        "initial_carry": torch.zeros_like(grads["bias_hh"][:H]) if passed else start.grad,
        "x": x.grad,
    }
    gradients |= {"carry": start.grad} if passed else {}
    found = {"carry": carry, "outputs": outputs} | named(gradients)
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def answers(carry, outputs, gradient, dx, d_carry=None):
    """By name; the gradient of the carry only where one was passed."""
    gradients = leaves(gradient) | {"x": dx} | ({} if d_carry is None else {"carry": d_carry})
    return {"carry": carry, "outputs": outputs} | named(gradients)


def named(gradients):
    return {f"d {name}": gradient for name, gradient in gradients.items()}


# torch's GRU --------------------------------------------------------------------------------------------------------


def run_torch(case, asked, passed):
    """Run and differentiate torch's GRU: the module, and the tensors (carry, outputs, x, start).

    The start is (H,), expanded over the batch, or (B, H) where a carry is passed. The other direction of a
    bidirectional GRU has weights of torch's own, and nothing of it reaches the scalar.
    """
    H, D = case.params.gru.weight_hh.shape[1], case.x.shape[-1]
    directions, dtype = 1 + asked.reverse, getattr(torch, str(case.x.dtype))
    module = torch.nn.GRU(D, H, batch_first=not asked.time_major, bidirectional=asked.reverse, dtype=dtype)
    set_weights(module, case.params.gru, "_l0_reverse" if asked.reverse else "_l0")
    x = torch.tensor(case.x, requires_grad=True)
    start = torch.tensor(case.carry if passed else case.params.gru.initial_carry, requires_grad=True)
    h_0 = start.expand(directions, *case.carry.shape)
    if asked.packed:
        outputs, h_n = module(pack(x, case.lengths), h_0)
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    else:
        outputs, h_n = module(x, h_0)
    carry, outputs = h_n[-1], outputs[..., -H:]  # the reverse direction stands last
    (torch.sum(outputs * torch.tensor(case.targets)) + torch.sum(carry * torch.tensor(case.d_carry))).backward()
    return module, (carry, outputs, x, start)


def pack(x, lengths):
    lengths = torch.tensor(lengths, dtype=torch.int64)
    return torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)


def set_weights(module, params, suffix=""):
    """Give torch our weights: its two biases of a gate, 2b and -b, are not zero and sum to b without rounding."""
    H = params.bias_n.shape[0]
    weights = {
        "weight_ih": params.weight_ih,
        "weight_hh": params.weight_hh,
        "bias_ih": np.concatenate([2 * params.bias[: 2 * H], params.bias[2 * H :]]),
        "bias_hh": np.concatenate([-params.bias[: 2 * H], params.bias_n]),
    }
    with torch.no_grad():
        for name, array in weights.items():
            getattr(module, name + suffix).copy_(torch.tensor(array))

"""torch.nn.GRU, written by strangers, gives the oracle's values and gradients."""

import numpy as np
import pytest
from support.cases import Case
from trigru.common.equality import oracle
from trigru.common.equality.bounds import relative_error
from trigru.common.parameters.record import leaves

torch = pytest.importorskip("torch", reason="torch is not installed: `pip install torch` to compare with it, too")

BOUND = 1e-12


@pytest.mark.parametrize("passed", [False, True], ids=["learned", "passed"])
@pytest.mark.parametrize("shape", [(4, 7, 5, 6), (3, 1, 5, 6), (1, 7, 5, 6)], ids=str)  # (B, T, D, H)
@pytest.mark.parametrize("way", ["whole", "time-major", "packed", "reverse", "packed reverse"])
def test_the_oracle_is_torchs_gru(rng, way, shape, passed):
    """Values, and the gradients of Σ outputs · targets + Σ carry · d_carry.

    Packed sequences have unsorted lengths of at least 1, which is as short as torch can pack, and NaN in the padding.
    """
    case, time = Case.random(*shape, seed=int(rng.integers(2**32))), shape[1]
    lengths = rng.integers(1, time + 1, shape[0]).astype("int32")
    lengths[-1], lengths[0] = time, max(1, time // 2)
    x, targets, flags = case.x, case.targets, {"reverse": "reverse" in way, "time_major": way == "time-major"}
    if "packed" in way:
        x = np.where(np.arange(time)[:, None] < lengths[:, None, None], x, np.nan)
    else:
        lengths = None
    if flags["time_major"]:
        x, targets = x.swapaxes(0, 1), targets.swapaxes(0, 1)
    tape = oracle.forward(case.params.gru, x, case.carry if passed else None, lengths, **flags)
    gradient = oracle.backward(case.params.gru, tape, targets, case.d_carry)
    found = {"carry": tape.carry, "outputs": tape.outputs, "d x": gradient.x}
    found |= {f"d {name}": array for name, array in leaves(gradient.params).items()}
    if passed:
        found["d carry"] = gradient.carry
    expected = torch_answers(case, x, targets, lengths, passed=passed, **flags)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert np.shape(found[name]) == np.shape(array), name
        assert relative_error(found[name], array) <= BOUND, name


def torch_answers(case, x, targets, lengths, *, passed, reverse, time_major):
    """Those of torch's GRU, its gradients in the canonical layout.

    The start is (H,), expanded over the batch, or (B, H) where a carry is passed. `reverse` is the second direction of
    a bidirectional GRU: the other has weights of torch's own, and nothing of it reaches the scalar.
    """
    D, H = x.shape[-1], case.carry.shape[-1]
    module = torch.nn.GRU(D, H, batch_first=not time_major, bidirectional=reverse, dtype=torch.float64)
    weights = {name: getattr(module, f"{name}_l0{'_reverse' if reverse else ''}") for name in weights_of(case)}
    with torch.no_grad():
        for name, array in weights_of(case).items():
            weights[name].copy_(torch.tensor(array))
    inputs = torch.tensor(x, requires_grad=True)
    start = torch.tensor(case.carry if passed else case.params.gru.initial_carry, requires_grad=True)
    h_0 = start.expand(1 + reverse, *case.carry.shape)
    if lengths is None:
        outputs, h_n = module(inputs, h_0)
    else:
        rnn = torch.nn.utils.rnn
        lengths = torch.tensor(lengths, dtype=torch.int64)
        outputs, h_n = module(rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False), h_0)
        outputs, _ = rnn.pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    carry, outputs = h_n[-1], outputs[..., -H:]  # the reverse direction stands last
    (torch.sum(outputs * torch.tensor(targets)) + torch.sum(carry * torch.tensor(case.d_carry))).backward()
    found = {
        "carry": carry,
        "outputs": outputs,
        "d x": inputs.grad,
        "d weight_ih": weights["weight_ih"].grad,
        "d weight_hh": weights["weight_hh"].grad,
        "d bias": weights["bias_ih"].grad,
        "d bias_n": weights["bias_hh"].grad[2 * H :],
        "d initial_carry": torch.zeros(H) if passed else start.grad,
    }
    found |= {"d carry": start.grad} if passed else {}
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def weights_of(case):
    """Ours under torch's names: its two biases of a gate, 2b and -b, are not zero and sum to b without rounding."""
    params, H = case.params.gru, case.carry.shape[-1]
    return {
        "weight_ih": params.weight_ih,
        "weight_hh": params.weight_hh,
        "bias_ih": np.concatenate([2 * params.bias[: 2 * H], params.bias[2 * H :]]),
        "bias_hh": np.concatenate([-params.bias[: 2 * H], params.bias_n]),
    }

"""PyTorch's GRU with a learned initial state: `torch.nn.GRU` and one `nn.Parameter` beside it.

The equations are the oracle's. The parameters are not: torch adds one bias to the product with the input, `b_ih`, and
another to the product with the state, `b_hh`. The model has only one bias for r and one for z.

    b_ih = bias                     (3H,)
    b_hh = (0, 0, bias_n)           (3H,)

Both biases of a pair get the same gradient. So under Adam each moves as far as the model's one bias, and their sum
moves twice as far. Outputs, gradients and the first step's moves equal the model's; later steps do not.

torch.compile does not compile `nn.GRU`: Dynamo breaks its graph there, as for users of `torch.compile(model)`. With
`torch._dynamo.config.allow_rnn` it would unroll the time steps.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# torch is optional.

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import torch._dynamo  # optimisers import it when they are made, which fails in two threads at once
import torch._inductor.utils
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils.rnn import pack_padded_sequence

from ...common.config import GRUConfig
from ...common.parameters.layouts import TORCH
from ...common.port.protocol import CallStyle, Params, Program
from .arms import Peer
from .workloads import LEARNING_RATE


class LearnedGRU(nn.Module):
    """A GRU that starts from a learned state."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, batch_first=True)
        self.initial_carry = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x, carry=None, lengths=None):
        """Final carry (B, H) and outputs (B, T, H) of x (B, T, D); lengths (B,) are int64, on the CPU."""
        if carry is None:
            carry = self.initial_carry.expand(
                x.shape[0], -1
            ).contiguous()  # (B, H); cuDNN takes no other
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        outputs, carry = self.gru(
            x, carry.unsqueeze(0)
        )  # (B, T, H) or packed, (1, B, H)
        return carry[0], outputs


class Classifier(nn.Module):
    """Logits from the final carry."""

    def __init__(self, input_size: int, hidden_size: int, classes: int):
        super().__init__()
        self.rnn = LearnedGRU(input_size, hidden_size)
        self.readout = nn.Linear(hidden_size, classes)

    def forward(self, x, lengths=None):
        """Logits (B, C)."""
        carry, _ = self.rnn(x, lengths=lengths)
        return self.readout(carry)


class Integers(NamedTuple):
    """Integers of the batch in both places: lengths are needed on the CPU, labels on the device of the logits."""

    host: torch.Tensor
    device: torch.Tensor


class OnDevice:
    """A CUDA tensor that NumPy can read; it is copied only then."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.tensor.cpu().numpy()
        return array if dtype is None else array.astype(dtype)


def _build(
    config: Any, params: Any, phase: Any, wrap: Any = lambda model: model
) -> Program:
    fast = jax.config.jax_default_matmul_precision != "highest"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    module = _load(config, params).to(device)
    model, tensors = wrap(module), list(module.parameters())
    optimizer = torch.optim.Adam(tensors, lr=LEARNING_RATE)

    def host(lengths):
        return None if lengths is None else lengths.host

    def objective(x, targets, lengths=None):
        if config.classes is not None:
            return cross_entropy(model(x, host(lengths)), targets.device)
        return mse_loss(model(x, lengths=host(lengths))[1], targets)

    @torch.inference_mode()
    def forward(x, lengths=None):
        return model(x, lengths=host(lengths))

    @torch.inference_mode()
    def step(frame, carry):
        carry, outputs = model(frame.unsqueeze(1), carry)  # (B, H), (B, 1, H)
        return carry, outputs[:, 0]

    def gradient(*arrays):
        loss = objective(*arrays)
        return loss.detach(), torch.autograd.grad(loss, tensors)

    def train_step(*arrays):
        optimizer.zero_grad()
        loss = objective(*arrays)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = {
        "forward": forward,
        "gradient": gradient,
        "train_step": train_step,
        "step": step,
    }[phase]
    names = [name for name, _ in module.named_parameters()]

    def readable(result):
        if isinstance(result, torch.Tensor):
            return OnDevice(result)
        return tuple(
            OnDevice(part) if isinstance(part, torch.Tensor) else part
            for part in result
        )

    def put(array: Any) -> Any:
        tensor = torch.tensor(np.asarray(array))
        return (
            tensor.to(device)
            if tensor.is_floating_point()
            else Integers(tensor.long(), tensor.long().to(device))
        )

    def wait(result: Any) -> Any:
        torch.cuda.synchronize()
        return result

    return Program(
        call=(lambda *arrays: readable(run(*arrays))) if on_gpu else run,
        params=lambda: _dump(dict(module.named_parameters())),
        lower=None,
        leaves=len(tensors)
        * (
            4 if phase == "train_step" else 1
        ),  # Adam keeps a step and two moments of each
        read=lambda gradient: _dump(dict(zip(names, gradient, strict=True))),
        put=put,
        wait=wait if on_gpu else lambda result: result,
        device=torch.cuda.get_device_name() if on_gpu else "CPU",
        backend="gpu" if on_gpu else "cpu",  # as JAX says
    )


def _load(config: GRUConfig, params: Params) -> nn.Module:
    sizes = config.input_size, config.hidden_size
    module = (
        LearnedGRU(*sizes)
        if config.classes is None
        else Classifier(*sizes, config.classes)
    )
    module = module.to(getattr(torch, config.param_dtype))
    module.load_state_dict(
        {name: torch.tensor(array) for name, array in TORCH.flat(params).items()}
    )
    return module


def _dump(tensors: dict[str, torch.Tensor]) -> Params:
    """The canonical record of parameters or of their gradients, without `b_hh` of r and z."""
    arrays = {
        name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()
    }
    for name, array in arrays.items():
        if name.endswith("bias_hh_l0"):
            array[: -len(array) // 3] = 0
    return TORCH.record(arrays)


PEER = Peer(
    name="torch",
    packages=("torch",),
    call_styles=(
        CallStyle("eager", "loss.backward(); optimizer.step()", _build),
        CallStyle(
            "compile",
            "model = torch.compile(model)",
            partial(_build, wrap=torch.compile),
        ),
    ),
)

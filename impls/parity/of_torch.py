"""A module of PyTorch, taken apart."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from .parts import Parts
from .torch_program import TorchProgram


def take_apart(module: torch.nn.Module, *, method: str) -> Parts:
    """The arguments are those of `trigru.parity.Model.torch`."""
    state = {}
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            state[name] = _array(buffer)
    return Parts(
        "torch",
        _params_of(module),
        state,
        call=getattr(module, method),  # which `TorchProgram` calls in its own way
        params_of=_params_of,
        has_modes=True,
        programs=partial(TorchProgram, module=module, method=method),
    )


def seeded(make: Callable[[], Any]) -> Callable[[Any], Any]:
    """A function that makes a module without arguments, as one of a key of JAX.

    PyTorch's own generator is left as it was.
    """

    def make_by(key: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(jax.random.bits(key)))
            return make()

    return make_by


def _params_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: _array(tensor) for name, tensor in module.named_parameters()}


def _array(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.numpy()

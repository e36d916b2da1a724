"""A module of PyTorch as a program: it runs in float64, and its operations are recorded as they run."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]

from ...common.parity.layouts import Leaf
from ...common.parity.locations import failed
from ...common.parity.model import TRAIN
from ...common.parity.programs import ROUNDING, Result
from ...common.parity.tape import Tape
from ...common.parity.values import Arguments
from .torch_tape import Recorder, Wide


class TorchProgram:
    """A module of PyTorch in one mode. See `trigru.common.parity.programs.Program`, which has the same methods."""

    def __init__(self, model: Any, module: torch.nn.Module, method: str, inputs: tuple[Any, ...], mode: str):
        self.model, self.mode, self._method = model, mode, method
        self._own = module
        self._module = _widened(module)
        self._params, self._buffers = _parameters(self._module), _floating(self._module)
        self.params = [Leaf(name.replace(".", "/"), tuple(p.shape)) for name, p in self._params.items()]
        self.states = [Leaf(name.replace(".", "/"), tuple(b.shape)) for name, b in self._buffers.items()]
        self.param_values = [p.detach().numpy().copy() for p in self._params.values()]
        self.state_values = [b.detach().numpy().copy() for b in self._buffers.values()]
        leaves, self._to_inputs = jax.tree.flatten(inputs)
        self._real = [n for n, a in enumerate(leaves) if a.dtype.kind == "f"]
        running = Wide()
        try:
            with torch.no_grad():
                given = Arguments(
                    [a[None] for a in self.param_values],
                    [a[None] for a in self.state_values],
                    [a[None] for a in leaves],
                )
                self._module.train(True)
                after = self._once(given)[1]
                self._module.train(mode == TRAIN)
                found = self._once(given, running=running)
        except Exception as error:
            raise failed(model, leaves, error) from error
        self.outputs = [jax.ShapeDtypeStruct(a.shape, np.dtype(str(a.dtype).removeprefix("torch."))) for a in found[0]]

        self.draws = running.draws
        # A state that training leaves alone is a table of constants, with the rounding of float32.
        self._fixed = [np.array_equal(a, b.numpy()) for a, b in zip(self.state_values, after, strict=True)]
        fixed = [torch.from_numpy(a) for a, same in zip(self.state_values, self._fixed, strict=True) if same]
        self.narrow_constants = any(map(_rounded, [*self._constants(), *fixed]))

    gradient_trace = None

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        """The outputs and the new state, for each set; with a jitter, narrow constants are moved in their rounding."""
        if jitter:
            pairs = zip(arguments.state, self._fixed, strict=True)
            arguments = replace(arguments, state=[a * _factor(a.shape, jitter) if same else a for a, same in pairs])
        with torch.no_grad(), _moved(self._constants(), jitter):
            found = [self._once(arguments, n) for n in range(_sets(arguments))]
        return Result(_stacked([a for a, _, _, _ in found]), _stacked([b for _, b, _, _ in found]), [], [])

    def gradient(self, arguments: Arguments, weights: Sequence[Any]) -> Result:
        """The outputs, and the gradients of their sum, each weighted, by parameters and inputs."""
        found = []
        for n in range(_sets(arguments)):
            outputs, new, given, leaves = self._once(arguments, n)
            self._weighted(outputs, weights).backward()
            found.append(
                ([a.detach() for a in outputs], new, [_gradient(p) for p in given], [_gradient(a) for a in leaves])
            )
        return Result(*(_stacked([each[i] for each in found]) for i in range(4)))

    def tape(self, arguments: Arguments) -> Tape:
        """All values on the way to the outputs, for one set."""
        recorder = Recorder()
        with torch.no_grad():
            outputs, new, _, _ = self._once(arguments, 0, recorder)
        return recorder.finished([*outputs, *new])

    def gradient_tape(self, arguments: Arguments, weights: Sequence[Any]) -> Tape:
        """All values on the way to the outputs and the gradients, for one set."""
        recorder = Recorder()
        with torch.autograd.set_detect_anomaly(True, check_nan=False), warnings.catch_warnings(action="ignore"):
            outputs, new, given, leaves = self._once(arguments, 0, recorder)
            with recorder:
                self._weighted(outputs, weights).backward()
        return recorder.finished([*outputs, *new, *map(_gradient, given), *map(_gradient, leaves)])

    def run(self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool) -> list[Any]:
        """The outputs in the module's own dtype. It is not compiled."""
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        with torch.no_grad():
            targets = [*_parameters(own).values(), *_floating(own).values()]
            for target, value in zip(targets, [*arguments.params, *arguments.state], strict=True):
                target.copy_(torch.from_numpy(np.array(value[0])))
            given = [torch.from_numpy(np.array(a)) for a in jax.tree.leaves(inputs)]
            given = [a.long() if a.dtype == torch.int32 else a for a in given]
            return [_own_dtype(a) for a in self._called(own, given)]

    def _once(self, arguments: Arguments, n: int = 0, running: Wide | None = None) -> Any:
        """The outputs, the buffers after the call, the parameters, and the inputs of floating-point numbers."""

        def pick(a: np.ndarray) -> Any:
            return torch.from_numpy(np.array(a[n if len(a) > 1 else 0]))

        given = [pick(a).requires_grad_(True) for a in arguments.params]
        buffers, leaves = [pick(a) for a in arguments.state], [pick(a) for a in arguments.inputs]
        leaves = [
            a.double().requires_grad_(True) if a.is_floating_point() else a.long() if a.dtype == torch.int32 else a
            for a in leaves
        ]
        counters = {name: a.clone() for name, a in self._module.named_buffers() if name not in self._buffers}
        tensors = dict(zip([*self._params, *self._buffers], [*given, *buffers], strict=True)) | counters
        named = {f"module.{key}": value for key, value in tensors.items()}
        if isinstance(running, Recorder):
            running.begin([*given, *buffers, *leaves])
        with _in_float64(), running or Wide():
            outputs = torch.func.functional_call(_Called(self._module, self, leaves), named, ())
        return outputs, buffers, given, [leaves[i] for i in self._real]

    def _constants(self) -> list[Any]:
        """The tensors that the module has as plain attributes."""
        return [a for part in self._module.modules() for _, a in _attributes(part)]

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        inputs = jax.tree.unflatten(self._to_inputs, leaves)
        given = self.model.given(inputs)
        with _plain():
            outputs = self.model.shared(getattr(module, self._method)(*given, **self.model.keywords[self.mode]))
        return [
            a
            for a in jax.tree.leaves(outputs, is_leaf=lambda a: isinstance(a, torch.Tensor))
            if isinstance(a, torch.Tensor)
        ]

    def _weighted(self, outputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        terms = [
            (y * torch.from_numpy(np.array(w[0]))).sum()
            for y, w in zip(outputs, weights, strict=True)
            if y.is_floating_point()
        ]
        return torch.stack(terms).sum()


class _Called(torch.nn.Module):
    """A call as a module, so that `torch.func.functional_call` puts parameters in their place for any method."""

    def __init__(self, module: torch.nn.Module, program: TorchProgram, leaves: Sequence[Any]):
        super().__init__()
        self.module, self._program, self._leaves = module, program, leaves

    def forward(self) -> list[Any]:
        return self._program._called(self.module, self._leaves)


def _widened(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of a module in float64, with the tensors that are plain attributes."""
    copied = copy.deepcopy(module).double().requires_grad_(True)
    for part in copied.modules():
        for name, value in _attributes(part):
            setattr(part, name, value.double())
    return copied


def _attributes(part: torch.nn.Module) -> list[tuple[str, Any]]:
    """The tensors that are plain attributes of a module: neither parameters nor buffers."""
    return [(k, a) for k, a in vars(part).items() if isinstance(a, torch.Tensor) and a.is_floating_point()]


def _rounded(tensor: Any) -> bool:
    """Whether some of its numbers are rounded to float32, as 0.1 is."""
    return bool((tensor * 1024 != torch.round(tensor * 1024)).any() and (tensor == tensor.float()).all())


def _factor(shape: tuple[int, ...], jitter: int) -> np.ndarray:
    """Factors near 1, by half of the last digit of a number of float32."""
    by = np.random.default_rng(jitter).uniform(-1, 1, shape)
    return np.asarray(1 + ROUNDING * np.finfo(np.float32).eps * by)


@contextmanager
def _moved(tensors: Sequence[Any], jitter: int) -> Iterator[None]:
    """Tensors are others while this lasts, by half of their last digit, if there is a jitter."""
    before = [a.clone() for a in tensors]
    for a in tensors if jitter else ():
        a.mul_(torch.from_numpy(_factor(tuple(a.shape), jitter)))
    try:
        yield
    finally:
        for a, value in zip(tensors, before, strict=True):
            a.copy_(value)


@contextmanager
def _in_float64() -> Iterator[None]:
    """A number that is made without a dtype has float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _plain() -> Iterator[None]:
    """Attention is computed step by step, and the layers of a transformer are not fused into one operation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _parameters(module: torch.nn.Module) -> dict[str, Any]:
    """The parameters in the order that JAX gives to the keys of a dictionary."""
    return dict(sorted(module.named_parameters()))


def _floating(module: torch.nn.Module) -> dict[str, Any]:
    """The buffers of floating-point numbers, in the same order."""
    return dict(sorted((name, a) for name, a in module.named_buffers() if a.is_floating_point()))


def _own_dtype(tensor: Any) -> np.ndarray:
    """An array of the tensor's dtype; of bfloat16, too, which PyTorch does not hand on to NumPy."""
    return tensor.float().numpy().astype(jax.numpy.bfloat16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _gradient(tensor: Any) -> Any:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _sets(arguments: Arguments) -> int:
    return max(map(len, arguments.all()), default=1)


def _stacked(sets: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    return [np.stack([a.detach().numpy() for a in column]) for column in zip(*sets, strict=True)]

"""A module of PyTorch as a program: it runs in float64 once, and what was recorded is played for other values."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
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
from .torch_tape import Recorder


class TorchProgram:
    """A module of PyTorch in one mode. See `trigru.common.parity.programs.Program`, which has the same methods."""

    gradient_trace = None

    def __init__(self, model: Any, module: torch.nn.Module, method: str, inputs: tuple[Any, ...], mode: str):
        self.model, self.mode, self._method, self._own = model, mode, method, module
        self._module = copy.deepcopy(module).double().requires_grad_(True)
        for part in self._module.modules():
            for name, value in vars(part).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    setattr(part, name, value.double())
        params, buffers = _parameters(self._module), _floating(self._module)
        self.params, self.states = (
            [Leaf(name.replace(".", "/"), tuple(a.shape)) for name, a in named.items()] for named in (params, buffers)
        )
        self.param_values, self.state_values = (
            [a.detach().numpy().copy() for a in named.values()] for named in (params, buffers)
        )
        self._leaves, self._to_inputs = jax.tree.flatten(inputs)
        try:
            after = self._recorded(training=True)
            self._module.train(mode == TRAIN)
            self._tape = self._recorded()
        except Exception as error:
            raise failed(model, self._leaves, error) from error
        values = [self._tape.values[n] for n in self._tape.outputs]
        states, outputs = len(buffers), len(values) - len(buffers)
        self.outputs = [jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in values[:outputs]]
        # A state that training leaves alone is a table of constants, with the rounding of float32.
        new = [after.values[n][0] for n in after.outputs[len(after.outputs) - states :]]
        fixed = [n for n, pair in enumerate(zip(self.state_values, new, strict=True)) if np.array_equal(*pair)]
        made = {*self._tape.arguments, *self._tape.maker}
        constants = [n for n in range(len(self._tape.values)) if n not in made]
        constants += [self._tape.arguments[len(params) + n] for n in fixed]
        self._narrow = [n for n in constants if _is_rounded(self._tape.values[n])]
        self.narrow_constants = bool(self._narrow)

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        """The outputs and the new state, for each set; with a jitter, narrow constants are moved in their rounding."""
        values, n = _played(self._tape, arguments.all(), self._narrow if jitter else (), jitter), len(self.outputs)
        return Result(values[:n], values[n:], [], [])

    def gradient(self, arguments: Arguments, weights: Sequence[Any]) -> Result:
        """The outputs, and the gradients of their sum, each weighted, by parameters and inputs."""
        values = _played(self._gradient_tape, [*arguments.all(), *weights])
        ends = np.cumsum([len(self.outputs), len(self.states), len(self.params)])
        return Result(*(values[a:b] for a, b in zip([0, *ends], [*ends, None], strict=True)))

    def tape(self, arguments: Arguments) -> Tape:
        """All values on the way to the outputs, for one set."""
        return self._tape.changed(_given(self._tape, arguments.all(), 0))

    def gradient_tape(self, arguments: Arguments, weights: Sequence[Any]) -> Tape:
        """All values on the way to the outputs and the gradients, for one set."""
        return self._gradient_tape.changed(_given(self._gradient_tape, [*arguments.all(), *weights], 0))

    @cached_property
    def _gradient_tape(self) -> Tape:
        with torch.autograd.set_detect_anomaly(True, check_nan=False), warnings.catch_warnings(action="ignore"):
            return self._recorded(gradient=True)

    def run(self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool) -> list[Any]:
        """The outputs in the module's own dtype. It is not compiled."""
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        with torch.no_grad():
            targets = [*_parameters(own).values(), *_floating(own).values()]
            for target, value in zip(targets, [*arguments.params, *arguments.state], strict=True):
                target.copy_(torch.from_numpy(np.array(value[0])))
            return [_own_dtype(a) for a in self._called(own, list(map(_tensor, jax.tree.leaves(inputs))))]

    def _recorded(self, *, training: bool = False, gradient: bool = False) -> Tape:
        """All values for the parameters and inputs as given; with gradients, weights of 1 are arguments, too."""
        module, recorder = copy.deepcopy(self._module), Recorder()
        module.train(training or self._module.training)
        params = list(_parameters(module).values())
        leaves = list(map(_tensor, self._leaves))
        leaves = [a.double().requires_grad_(gradient) if a.is_floating_point() else a for a in leaves]
        weights = [torch.ones(a.shape, dtype=torch.float64) for a in self.outputs] if gradient else []
        recorder.begin([*params, *_floating(module).values(), *leaves, *weights])
        with torch.set_grad_enabled(gradient), _in_float64(), recorder:
            results = self._called(module, leaves)
            terms = [(y * w).sum() for y, w in zip(results, weights, strict=False) if y.is_floating_point()]
            if gradient:
                torch.stack(terms).sum().backward()
        results += _floating(module).values()
        if gradient:
            of = [*params, *(a for a in leaves if a.is_floating_point())]
            results += [torch.zeros_like(a) if a.grad is None else a.grad for a in of]
        self.draws = recorder.draws
        return recorder.finished(results)

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        given = self.model.given(jax.tree.unflatten(self._to_inputs, leaves))
        with _plain():
            outputs = self.model.shared(getattr(module, self._method)(*given, **self.model.keywords[self.mode]))
        leaves = jax.tree.leaves(outputs, is_leaf=lambda a: isinstance(a, torch.Tensor))
        return [a for a in leaves if isinstance(a, torch.Tensor)]


def _played(tape: Tape, arguments: Sequence[Any], narrow: Sequence[int] = (), jitter: int = 0) -> list[np.ndarray]:
    """The outputs of a tape for each set of arguments, with narrow constants moved by half of their last digit."""
    rng, sets = np.random.default_rng(jitter), []
    factors = {n: 1 + ROUNDING * np.finfo(np.float32).eps * rng.uniform(-1, 1, tape.values[n].shape) for n in narrow}
    for n in range(max(map(len, arguments), default=1)):
        given = _given(tape, arguments, n)
        new = tape.played(given | {k: given.get(k, tape.values[k]) * factor for k, factor in factors.items()})
        sets.append([new.get(k, tape.values[k])[0] for k in tape.outputs])
    return [np.stack(column) for column in zip(*sets, strict=True)]


def _given(tape: Tape, arguments: Sequence[Any], n: int) -> dict[int, np.ndarray]:
    """One set of arguments, by the numbers of values of a tape."""
    pairs = zip(tape.arguments, arguments, strict=True)
    return {number: np.array(a[n if len(a) > 1 else 0], tape.values[number].dtype)[None] for number, a in pairs}


def _is_rounded(a: np.ndarray) -> bool:
    """Whether some of its numbers are rounded to float32, as 0.1 is."""
    return a.dtype.kind == "f" and bool((a * 1024 != np.rint(a * 1024)).any() and (a == a.astype(np.float32)).all())


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


def _tensor(leaf: Any) -> Any:
    tensor = torch.from_numpy(np.array(leaf))
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def _parameters(module: torch.nn.Module) -> dict[str, Any]:
    """The parameters in the order that JAX gives to the keys of a dictionary."""
    return dict(sorted(module.named_parameters()))


def _floating(module: torch.nn.Module) -> dict[str, Any]:
    """The buffers of floating-point numbers, in the same order."""
    return dict(sorted((name, a) for name, a in module.named_buffers() if a.is_floating_point()))


def _own_dtype(tensor: Any) -> np.ndarray:
    """An array of the tensor's dtype; of bfloat16, too, which PyTorch does not hand on to NumPy."""
    return tensor.float().numpy().astype(jax.numpy.bfloat16) if tensor.dtype == torch.bfloat16 else tensor.numpy()

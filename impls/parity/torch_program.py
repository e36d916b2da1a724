"""A module of PyTorch as a program: it runs in float64 for each set of values, and is recorded as it runs."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]

from ...common.parity.locations import failed
from ...common.parity.model import TRAIN, leaves_of
from ...common.parity.programs import ROUNDING, Result, parts_of
from ...common.parity.tape import Tape
from ...common.parity.values import Arguments, weights_of
from .torch_tape import Recorder


class TorchProgram:
    """A module of PyTorch in one mode, with the methods of `trigru.common.parity.programs.TracedProgram`."""

    gradient_trace = None

    def __init__(self, model: Any, module: torch.nn.Module, method: str, inputs: tuple[Any, ...], mode: str):
        self.model, self.mode, self._method, self._own = model, mode, method, module
        self._module = copy.deepcopy(module).double().requires_grad_(True)
        for part in self._module.modules():
            for name, value in vars(part).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    setattr(part, name, value.double())
        params, self.param_values, _ = leaves_of(model.params)
        states, self.state_values, _ = leaves_of(model.state)
        self.params, self.states = (
            [replace(leaf, path=leaf.path.replace(".", "/")) for leaf in leaves] for leaves in (params, states)
        )
        self._leaves, self._to_inputs = jax.tree.flatten(inputs)
        self.draws = False
        kinds = (self.param_values, self.state_values, self._leaves)
        given = Arguments(*([np.asarray(a)[None] for a in some] for some in kinds))
        try:
            after = self._recorded(given, training=True)
            self._module.train(mode == TRAIN)
            tape = self._recorded(given, with_steps=True)
        except Exception as error:
            raise failed(model, self._leaves, error) from error
        count = len(tape.outputs) - len(states)
        self.outputs = [
            jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in (tape.values[n] for n in tape.outputs[:count])
        ]
        # A state that training leaves alone is a table of constants, with the rounding of float32.
        new = [after.values[n][0] for n in after.outputs[count:]]
        fixed = [n for n, pair in enumerate(zip(self.state_values, new, strict=True)) if np.array_equal(*pair)]
        self._narrow = [len(params) + n for n in fixed if _is_rounded(self.state_values[n])]
        self.narrow_constants = bool(self._narrow or _constants(tape))

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        def record(some: Arguments) -> Tape:
            return self._moved(self.tape(some), jitter) if jitter else self._recorded(some)

        return Result(*parts_of(_stacked(record, arguments), len(self.outputs)))

    def gradient(self, arguments: Arguments) -> Result:
        values = _stacked(partial(self._recorded, gradient=True), arguments)
        return Result(*parts_of(values, len(self.outputs), len(self.states), len(self.params)))

    def tape(self, arguments: Arguments) -> Tape:
        return self._recorded(arguments, with_steps=True)

    def gradient_tape(self, arguments: Arguments) -> Tape:
        with torch.autograd.set_detect_anomaly(True, check_nan=False), warnings.catch_warnings(action="ignore"):
            return self._recorded(arguments, gradient=True, with_steps=True)

    def run(self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool) -> list[Any]:
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        _put(own, arguments)
        with torch.no_grad():
            return [_own_dtype(a) for a in self._called(own, list(map(_tensor, jax.tree.leaves(inputs))))]

    def _recorded(
        self, arguments: Arguments, *, gradient: bool = False, training: bool = False, with_steps: bool = False
    ) -> Tape:
        """The outputs for the first set of arguments; with steps, all values; with a gradient, those of it, too."""
        module, recorder = copy.deepcopy(self._module), Recorder(with_steps=with_steps)
        module.train(training or self._module.training)
        _put(module, arguments)
        params = list(_parameters(module).values())
        leaves = [_tensor(a[0]) for a in arguments.inputs]
        leaves = [a.double().requires_grad_(gradient) if a.is_floating_point() else a for a in leaves]
        by = [torch.from_numpy(np.array(a[0])) for a in weights_of(self.outputs)] if gradient else []
        recorder.begin([*params, *_floating(module).values(), *leaves, *by])
        with torch.set_grad_enabled(gradient), _in_float64(), recorder:
            results = self._called(module, leaves)
            terms = [(y * w).sum() for y, w in zip(results, by, strict=False) if y.is_floating_point()]
            if gradient:
                torch.stack(terms).sum().backward()
        results += _floating(module).values()
        if gradient:
            of = [*params, *(a for a in leaves if a.is_floating_point())]
            results += [torch.zeros_like(a) if a.grad is None else a.grad for a in of]
        self.draws = recorder.draws
        return recorder.finished(results)

    def _moved(self, tape: Tape, jitter: int) -> Tape:
        """A tape whose narrow constants are moved by half of their last digit."""
        rng = np.random.default_rng(jitter)
        numbers = [*_constants(tape), *(tape.arguments[n] for n in self._narrow)]
        values = {n: tape.values[n] for n in numbers}
        by = ROUNDING * np.finfo(np.float32).eps
        return tape.changed({n: a * (1 + by * rng.uniform(-1, 1, a.shape)) for n, a in values.items()})

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        given = self.model.given(jax.tree.unflatten(self._to_inputs, leaves))
        with _plain():
            outputs = self.model.shared(getattr(module, self._method)(*given, **self.model.keywords[self.mode]))
        leaves = jax.tree.leaves(outputs, is_leaf=lambda a: isinstance(a, torch.Tensor))
        return [a for a in leaves if isinstance(a, torch.Tensor)]


def _constants(tape: Tape) -> list[int]:
    """The values that are rounded to float32, and neither arguments nor computed."""
    made = {*tape.arguments, *tape.maker}
    return [n for n, value in enumerate(tape.values) if n not in made and _is_rounded(value)]


def _put(module: torch.nn.Module, arguments: Arguments) -> None:
    with torch.no_grad():
        targets = [*_parameters(module).values(), *_floating(module).values()]
        for target, value in zip(targets, [*arguments.params, *arguments.state], strict=True):
            target.copy_(torch.from_numpy(np.array(value[0])))


def _stacked(record: Callable[[Arguments], Tape], arguments: Arguments) -> list[np.ndarray]:
    """The outputs of the tapes of all sets of arguments."""
    tapes = (record(arguments.one(k)) for k in range(max(map(len, arguments.all()), default=1)))
    sets = [[tape.values[n][0] for n in tape.outputs] for tape in tapes]
    return [np.stack(column) for column in zip(*sets, strict=True)]


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
    return dict(sorted((name, a) for name, a in module.named_buffers() if a.is_floating_point()))


def _own_dtype(tensor: Any) -> np.ndarray:
    """An array of the tensor's dtype; of bfloat16, too, which PyTorch does not hand on to NumPy."""
    return tensor.float().numpy().astype(jax.numpy.bfloat16) if tensor.dtype == torch.bfloat16 else tensor.numpy()

"""A module of PyTorch as a program: it runs in float64 for each set of values, and is recorded as it runs."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]

from ...common.parity.locations import failed
from ...common.parity.model import TRAIN, leaves_of
from ...common.parity.programs import ROUNDING, Result
from ...common.parity.tape import Tape
from ...common.parity.values import Arguments, weights_of
from .torch_tape import Recorder


class TorchProgram:
    """A module of PyTorch in one mode, with the methods of `trigru.common.parity.programs.TracedProgram`."""

    gradient_trace = None

    def __init__(self, model: Any, inputs: tuple[Any, ...], mode: str, *, module: torch.nn.Module, method: str):
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
        self.outputs = [tape.values[n][0] for n in tape.outputs[:count]]
        # A state that training leaves alone is a table of constants, with the rounding of float32.
        new = [after.values[n][0] for n in after.outputs[count:]]
        fixed = [n for n, pair in enumerate(zip(self.state_values, new, strict=True)) if np.array_equal(*pair)]
        self._narrow = [len(params) + n for n in fixed if _is_rounded(self.state_values[n])]
        self.narrow_constants = bool(self._narrow or _constants(tape))

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        def record(some: Arguments) -> Tape:
            tape = self._recorded(some, with_steps=jitter > 0)  # with which narrow constants are moved, if little
            rng, by = np.random.default_rng(jitter), ROUNDING * np.finfo(np.float32).eps
            numbers = [*_constants(tape), *(tape.arguments[n] for n in self._narrow)] if jitter else []
            values = {n: tape.values[n] for n in numbers}
            return tape.changed({n: a * (1 + by * rng.uniform(-1, 1, a.shape)) for n, a in values.items()})

        return Result(self, _stacked(record, arguments))

    def gradient(self, arguments: Arguments) -> Result:
        return Result(self, _stacked(partial(self._recorded, gradient=True), arguments))

    def tape(self, arguments: Arguments) -> Tape:
        return self._recorded(arguments, with_steps=True)

    def gradient_tape(self, arguments: Arguments) -> Tape:
        with torch.autograd.set_detect_anomaly(True, check_nan=False), warnings.catch_warnings(action="ignore"):
            return self._recorded(arguments, gradient=True, with_steps=True)

    def run(self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool) -> list[Any]:
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        _put(own, arguments)
        with torch.no_grad(), _plain(torch.get_default_dtype()):
            outputs = self._called(own, list(map(_tensor, jax.tree.leaves(inputs))))
            # PyTorch does not hand on to NumPy bfloat16, nor, but without gradients, an output that is a parameter
            return [
                a.float().numpy().astype(jax.numpy.bfloat16) if a.dtype == torch.bfloat16 else a.numpy()
                for a in outputs
            ]

    def _recorded(
        self, arguments: Arguments, *, gradient: bool = False, training: bool = False, with_steps: bool = False
    ) -> Tape:
        """The outputs for the first set of arguments; with steps, all values; with a gradient, those of it, too."""
        module = copy.deepcopy(self._module)
        module.train(training or self._module.training)
        _put(module, arguments)
        params, states = _leaves(module)
        leaves = [_tensor(a[0]) for a in arguments.inputs]
        leaves = [a.double().requires_grad_(gradient) if a.is_floating_point() else a for a in leaves]
        by = [torch.from_numpy(np.array(a[0])) for a in weights_of(self.outputs)] if gradient else []
        recorder = Recorder([*params, *states, *leaves, *by], with_steps=with_steps)
        with torch.set_grad_enabled(gradient), _plain(torch.float64), recorder:
            results = self._called(module, leaves)
            terms = [(y * w).sum() for y, w in zip(results, by, strict=False) if y.is_floating_point()]
            if gradient:
                torch.stack(terms).sum().backward()
        results += _leaves(module)[1]  # a module may have put others in their place
        if gradient:
            of = [*params, *(a for a in leaves if a.is_floating_point())]
            results += [torch.zeros_like(a) if a.grad is None else a.grad for a in of]
        self.draws = recorder.draws
        return recorder.finished(results)

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        given = self.model.given(jax.tree.unflatten(self._to_inputs, leaves))
        outputs = self.model.shared(getattr(module, self._method)(*given, **self.model.keywords[self.mode]))
        leaves = jax.tree.leaves(outputs, is_leaf=lambda a: isinstance(a, torch.Tensor))
        return [a for a in leaves if isinstance(a, torch.Tensor)]


def _constants(tape: Tape) -> list[int]:
    """The values that are rounded to float32, and neither arguments nor computed."""
    made = {*tape.arguments, *tape.maker}
    return [n for n, value in enumerate(tape.values) if n not in made and _is_rounded(value)]


def _put(module: torch.nn.Module, arguments: Arguments) -> None:
    with torch.no_grad():
        for target, value in zip(chain(*_leaves(module)), [*arguments.params, *arguments.state], strict=True):
            target.copy_(torch.from_numpy(np.array(value[0])))


def _stacked(record: Callable[[Arguments], Tape], arguments: Arguments) -> list[np.ndarray]:
    """The outputs of the tapes of all sets of arguments."""
    tapes = (record(arguments.sets(slice(k, k + 1))) for k in range(max(map(len, arguments.all()), default=1)))
    sets = [[tape.values[n][0] for n in tape.outputs] for tape in tapes]
    return [np.stack(column) for column in zip(*sets, strict=True)]


def _is_rounded(a: np.ndarray) -> bool:
    """Whether some of its numbers are rounded to float32, as 0.1 is."""
    return a.dtype.kind == "f" and bool((a * 1024 != np.rint(a * 1024)).any() and (a == a.astype(np.float32)).all())


@contextmanager
def _plain(dtype: torch.dtype) -> Iterator[None]:
    """A number that is made without a dtype has this one; attention and the layers of a transformer are not fused."""
    dtype_before, fast_before = torch.get_default_dtype(), torch.backends.mha.get_fastpath_enabled()
    torch.set_default_dtype(dtype)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.set_default_dtype(dtype_before)
        torch.backends.mha.set_fastpath_enabled(fast_before)


def _tensor(leaf: Any) -> Any:
    tensor = torch.from_numpy(np.array(leaf))
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def _leaves(module: torch.nn.Module) -> tuple[list[Any], list[Any]]:
    """Parameters and buffers of floating-point numbers, in the order that JAX gives to the keys of a dictionary."""
    buffers = [(name, a) for name, a in module.named_buffers() if a.is_floating_point()]
    return [a for _, a in sorted(module.named_parameters())], [a for _, a in sorted(buffers)]

"""A module of PyTorch as a program: it runs in float64, and its operations are recorded as they run."""

import copy
import sys
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.utils._python_dispatch import TorchDispatchMode  # pyright: ignore[reportMissingImports]
from torch.utils._pytree import tree_map_only  # pyright: ignore[reportMissingImports]

from ...common.errors import InputError, brief
from ...common.parity.matching import Leaf
from ...common.parity.model import EVAL, TRAIN
from ...common.parity.programs import Result
from ...common.parity.tape import Step, Tape
from ...common.parity.values import Arguments
from ...common.program import CodeLine


class TorchProgram:
    """A module of PyTorch in one mode. See `trigru.common.parity.programs.Program`, which has the same methods."""

    narrow_constants = False

    def __init__(self, model: Any, module: torch.nn.Module, method: str, inputs: tuple[Any, ...], mode: str):
        self.model, self.mode, self._method = model, mode, method
        self._own = module
        self._module = copy.deepcopy(module).double().requires_grad_(True)
        if mode in (EVAL, TRAIN):
            self._module.train(mode == TRAIN)
        self._params, self._buffers = dict(self._module.named_parameters()), _floating(self._module.named_buffers())
        self.params = [Leaf(name.replace(".", "/"), tuple(p.shape)) for name, p in self._params.items()]
        self.states = [Leaf(name.replace(".", "/"), tuple(b.shape)) for name, b in self._buffers.items()]
        self.param_values = [p.detach().numpy().copy() for p in self._params.values()]
        self.state_values = [b.detach().numpy().copy() for b in self._buffers.values()]
        leaves, self._to_inputs = jax.tree.flatten(inputs)
        self._real = [n for n, a in enumerate(leaves) if a.dtype.kind == "f"]
        try:
            with torch.no_grad():
                arrays = [[a[None] for a in each] for each in (self.param_values, self.state_values, leaves)]
                found = self._once(Arguments(*arrays))
        except Exception as error:
            given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in leaves)
            raise InputError(
                f"{model.name} does not take the inputs {given}: {type(error).__name__}: {brief(error)}"
            ) from error
        self.outputs = [jax.ShapeDtypeStruct(a.shape, np.dtype(str(a.dtype).removeprefix("torch."))) for a in found[0]]

    @cached_property
    def draws(self) -> bool:
        """Whether the module has a dropout that is on."""
        return any(
            isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0 and m.training
            for m in self._module.modules()
        )

    gradient_trace = None

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        """The outputs and the new state, for each set."""
        with torch.no_grad():
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
            outputs, new, given, leaves = self._once(arguments, 0, recorder)
        return recorder.finished([*given, *leaves], [*outputs, *new])

    def gradient_tape(self, arguments: Arguments, weights: Sequence[Any]) -> Tape:
        """All values on the way to the outputs and the gradients, for one set."""
        recorder = Recorder()
        outputs, new, given, leaves = self._once(arguments, 0, recorder)
        with recorder:
            self._weighted(outputs, weights).backward()
        return recorder.finished([*given, *leaves], [*outputs, *new, *map(_gradient, given), *map(_gradient, leaves)])

    def run(self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool) -> list[Any]:
        """The outputs in the module's own dtype. It is not compiled."""
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        with torch.no_grad():
            targets = [*own.parameters(), *_floating(own.named_buffers()).values()]
            for target, value in zip(targets, [*arguments.params, *arguments.state], strict=True):
                target.copy_(torch.from_numpy(np.array(value[0])))
            given = [torch.from_numpy(np.array(a)) for a in jax.tree.leaves(inputs)]
            given = [a.long() if a.dtype == torch.int32 else a for a in given]
            return [a.numpy() for a in self._called(own, given)]

    def _once(self, arguments: Arguments, n: int = 0, recorder: "Recorder | None" = None) -> Any:
        """The outputs, the buffers after the call, the parameters, and the inputs of floating-point numbers."""

        def pick(a: np.ndarray) -> Any:
            return torch.from_numpy(np.array(a[n if len(a) > 1 else 0]))

        given = [pick(a).requires_grad_(True) for a in arguments.params]
        buffers, leaves = [pick(a) for a in arguments.state], [pick(a) for a in arguments.inputs]
        leaves = [
            a.double().requires_grad_(True) if a.is_floating_point() else a.long() if a.dtype == torch.int32 else a
            for a in leaves
        ]
        tensors = dict(zip([*self._params, *self._buffers], [*given, *buffers], strict=True))

        def call() -> Any:
            named = {f"module.{key}": value for key, value in tensors.items()}
            return torch.func.functional_call(_Called(self._module, self, leaves), named, ())

        if recorder is None:
            outputs = call()
        else:
            with recorder:
                outputs = call()
        return outputs, buffers, given, [leaves[i] for i in self._real]

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        inputs = jax.tree.unflatten(self._to_inputs, leaves)
        given = self.model.given(inputs)
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


class Recorder(TorchDispatchMode):
    """Records each operation of PyTorch with its operands, its results, and the lines that led to it."""

    def __init__(self):
        super().__init__()
        self._tape, self._kept, self._numbers = Tape(), [], {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and record it."""
        kwargs = kwargs or {}
        operands: list[Any] = []
        tree_map_only(torch.Tensor, operands.append, (args, kwargs))
        numbers = tuple(map(self._number, operands))
        found = func(*args, **kwargs)
        results = [a for a in (found if isinstance(found, tuple | list) else [found]) if isinstance(a, torch.Tensor)]
        new = tuple(map(self._new, results))
        lines = _lines()
        self._tape.record(
            Step(func.overloadpacket.__name__, partial(_again, func, args, kwargs), numbers, new, lambda: lines)
        )
        return found

    def finished(self, arguments: Sequence[Any], outputs: Sequence[Any]) -> Tape:
        """The tape."""
        self._tape.arguments = tuple(map(self._number, arguments))
        self._tape.outputs = tuple(map(self._number, outputs))
        return self._tape

    def _number(self, tensor: Any) -> int:
        return self._numbers[id(tensor)] if id(tensor) in self._numbers else self._new(tensor)

    def _new(self, tensor: Any) -> int:
        self._kept.append(tensor)
        self._numbers[id(tensor)] = self._tape.add(tensor.detach().numpy().copy()[None])
        return self._numbers[id(tensor)]


def _again(func: Any, args: Any, kwargs: Any, *operands: Any) -> Any:
    """An operation of other operands."""
    rest = iter(operands)
    args, kwargs = tree_map_only(torch.Tensor, lambda _: torch.from_numpy(np.array(next(rest)[0])), (args, kwargs))
    found = func(*args, **kwargs)
    results = [a for a in (found if isinstance(found, tuple | list) else [found]) if isinstance(a, torch.Tensor)]
    return [a.detach().numpy()[None] for a in results]


def _lines() -> tuple[CodeLine, ...]:
    frame, found = sys._getframe(2), []
    while frame is not None:
        code = frame.f_code
        if code.co_filename != __file__ and "/torch/utils/_" not in code.co_filename:
            found.append(CodeLine(code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return tuple(found)


def _floating(named: Any) -> dict[str, Any]:
    return {name: a for name, a in named if a.is_floating_point()}


def _gradient(tensor: Any) -> Any:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _sets(arguments: Arguments) -> int:
    return max(map(len, arguments.all()), default=1)


def _stacked(sets: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    return [np.stack([a.detach().numpy() for a in column]) for column in zip(*sets, strict=True)]

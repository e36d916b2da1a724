"""A module of PyTorch as a program.

It runs in float64, for each set of values by itself, and is recorded as it runs.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]
from torch.utils._pytree import tree_leaves  # pyright: ignore[reportMissingImports]

from ...common.parity.programs import JITTER, Result, failed
from ...common.parity.values import Arguments, weights_of
from ...common.program.model import TRAIN, leaves_of
from ...common.program.tape import Tape
from .torch_recorder import Recorder


class TorchProgram:
    """A module of PyTorch in one mode.

    It has the methods of `trigru.common.parity.programs.TracedProgram`.
    """

    gradient_trace = None

    def __init__(
        self,
        model: Any,
        inputs: tuple[Any, ...],
        mode: str,
        *,
        module: torch.nn.Module,
        method: str,
    ):
        self.model = model
        self.mode = mode
        self.draws = False
        self._method = method
        self._own = module
        self._module = _in_float64(module)
        params, self.param_values, _ = leaves_of(model.params)
        states, self.state_values, _ = leaves_of(model.state)
        frozen = _frozen(module)
        self.params = [
            replace(p, path=p.path.replace(".", "/"), is_frozen=p.path in frozen)
            for p in params
        ]
        self.states = [replace(s, path=s.path.replace(".", "/")) for s in states]
        self._leaves, self._to_inputs = jax.tree.flatten(inputs)

        arguments = Arguments(
            _one_set(self.param_values),
            _one_set(self.state_values),
            _one_set(self._leaves),
        )
        try:
            trained = self._recorded(arguments, training=True)
            self._module.train(mode == TRAIN)
            tape = self._recorded(arguments, with_steps=True)
        except Exception as error:
            raise failed(model, self._leaves, error) from error

        count = len(tape.outputs) - len(states)
        self.outputs = [tape.values[n][0] for n in tape.outputs[:count]]
        new_states = [trained.values[n][0] for n in trained.outputs[count:]]
        # The arguments that are a state which training leaves alone: tables of
        # constants, which are rounded to float32.
        self._narrow = []
        pairs = zip(self.state_values, new_states, strict=True)
        for n, (state, new_state) in enumerate(pairs, len(params)):
            if np.array_equal(state, new_state) and _is_rounded(state):
                self._narrow.append(n)
        self.narrow_constants = bool(self._narrow or _constants(tape))

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        """The outputs and the new state.

        With a jitter, narrow constants are moved within their rounding.
        """
        record = partial(self._jittered, jitter=jitter) if jitter else self._recorded
        return Result(self, _stacked(record, arguments))

    def gradient(self, arguments: Arguments) -> Result:
        """The outputs, and the gradients of their weighted sum.

        The gradients are those by parameters and inputs.
        """
        record = partial(self._recorded, gradient=True)
        try:
            return Result(self, _stacked(record, arguments))
        except Exception as error:
            raise failed(self.model, self._leaves, error) from error

    def tape(self, arguments: Arguments) -> Tape:
        """All values on the way to the outputs."""
        return self._recorded(arguments, with_steps=True)

    def gradient_tape(self, arguments: Arguments) -> Tape:
        """All values on the way to the outputs and the gradients."""
        # Anomaly detection keeps the lines of the way there.
        with (
            torch.autograd.set_detect_anomaly(True, check_nan=False),
            warnings.catch_warnings(action="ignore"),
        ):
            return self._recorded(arguments, gradient=True, with_steps=True)

    def run(
        self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool
    ) -> list[Any]:
        """The outputs for the first set of parameters, in the module's own dtypes."""
        module = copy.deepcopy(self._own)
        module.train(self._module.training)
        _put(module, arguments)
        tensors = list(map(_tensor, jax.tree.leaves(inputs)))
        with torch.no_grad(), _plain(torch.get_default_dtype()):
            outputs = self._called(module, tensors)
            # Still without gradients, as an output may be a parameter.
            return list(map(_own_array, outputs))

    def _recorded(
        self,
        arguments: Arguments,
        *,
        gradient: bool = False,
        training: bool = False,
        with_steps: bool = False,
    ) -> Tape:
        """The tape of a call with the first set of arguments.

        Its outputs are those of the module, the gradients if asked for, and the new
        state. With steps, it has all values on the way.
        """
        module = copy.deepcopy(self._module)
        module.train(training or self._module.training)
        _put(module, arguments)
        params, states = _leaves(module)
        inputs = [_differentiable(_tensor(a[0]), gradient) for a in arguments.inputs]
        weights = []
        if gradient:
            weights = [
                torch.from_numpy(np.array(a[0])) for a in weights_of(self.outputs)
            ]

        everything = [*params, *states, *inputs, *weights]
        recorder = Recorder(everything, with_steps=with_steps)
        with torch.set_grad_enabled(gradient), _plain(torch.float64), recorder:
            results = self._called(module, inputs)
            terms = []
            for output, weight in zip(results, weights, strict=False):
                if output.is_floating_point():
                    terms.append((output * weight).sum())
            if gradient:
                torch.stack(terms).sum().backward()

        _, new_states = _leaves(module)  # it may have put others in their place
        results += new_states
        if gradient:
            reals = [a for a in inputs if a.is_floating_point()]
            results += list(map(_gradient_of, [*params, *reals]))
        self.draws = recorder.draws
        return recorder.finished(results)

    def _jittered(self, arguments: Arguments, jitter: int) -> Tape:
        """What is recorded with narrow constants moved within their rounding."""
        tape = self._recorded(arguments, with_steps=True)
        rng = np.random.default_rng(jitter)
        most = JITTER * np.finfo(np.float32).eps
        changed = {}
        for n in [*_constants(tape), *(tape.arguments[k] for k in self._narrow)]:
            value = tape.values[n]
            changed[n] = value * (1 + most * rng.uniform(-1, 1, value.shape))
        return tape.changed(changed)

    def _called(self, module: Any, leaves: Sequence[Any]) -> list[Any]:
        """The tensors that a module returns for the tensors of the shared inputs."""
        shared_inputs = jax.tree.unflatten(self._to_inputs, leaves)
        inputs = self.model.given(shared_inputs)
        keywords = self.model.keywords[self.mode]
        method = getattr(module, self._method)
        outputs = method(*inputs, **keywords)
        return tensors_of(self.model.shared(outputs))


def tensors_of(outputs: Any) -> list[Any]:
    """The tensors of what a module returns, in the order of JAX's leaves.

    A record counts as its fields, as the outputs of Hugging Face's models do. What is
    no tensor does not count.
    """
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if type(outputs) is dict:
        parts = [outputs[key] for key in sorted(outputs)]
    elif isinstance(outputs, Mapping):
        parts = list(outputs.values())
    elif isinstance(outputs, tuple | list):
        parts = list(outputs)
    elif is_dataclass(outputs):
        parts = list(vars(outputs).values())
    else:
        leaves = tree_leaves(outputs)  # of a class that is known to PyTorch
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    tensors = []
    for part in parts:
        tensors += tensors_of(part)
    return tensors


# Modules and tensors ------------------------------------------------------------------


def _in_float64(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in float64 and complex128, also of tensors that are neither parameters nor
    buffers. Its gradients by frozen parameters are 0.
    """
    wide = copy.deepcopy(module)._apply(_wide)
    frozen = _frozen(module)
    for name, parameter in wide.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for part in wide.modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                setattr(part, name, _wide(value))
    return wide


def _frozen(module: torch.nn.Module) -> set[str]:
    """The names of the parameters that are not trained; none if no parameter is."""
    params = dict(module.named_parameters())
    frozen = {name for name, param in params.items() if not param.requires_grad}
    return frozen if len(frozen) < len(params) else set()


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def _put(module: torch.nn.Module, arguments: Arguments) -> None:
    """Write the first set of parameters and state into a module."""
    params, states = _leaves(module)
    values = [*arguments.params, *arguments.state]
    with torch.no_grad():
        for target, value in zip([*params, *states], values, strict=True):
            first = np.array(value[0])
            target.copy_(torch.from_numpy(first))


def _leaves(module: torch.nn.Module) -> tuple[list[Any], list[Any]]:
    """Parameters, and buffers of floating-point numbers.

    They are in the order that JAX gives to the keys of a dictionary.
    """
    params = dict(module.named_parameters())
    buffers = dict(module.named_buffers())
    states = [buffers[name] for name in sorted(buffers)]
    return (
        [params[name] for name in sorted(params)],
        [state for state in states if state.is_floating_point()],
    )


@contextmanager
def _plain(dtype: torch.dtype) -> Iterator[None]:
    """Run PyTorch with a default dtype, and without fused kernels.

    Attention and the layers of a transformer are the steps of which they consist.
    """
    dtype_before = torch.get_default_dtype()
    fast_path_before = torch.backends.mha.get_fastpath_enabled()
    torch.set_default_dtype(dtype)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.set_default_dtype(dtype_before)
        torch.backends.mha.set_fastpath_enabled(fast_path_before)


def _tensor(leaf: Any) -> Any:
    tensor = torch.from_numpy(np.array(leaf))
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def _differentiable(tensor: Any, gradient: bool) -> Any:
    """A tensor of floating-point numbers in float64; others as they are.

    PyTorch keeps its gradient if asked for.
    """
    if not tensor.is_floating_point():
        return tensor
    return tensor.double().requires_grad_(gradient)


def _gradient_of(tensor: Any) -> Any:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _own_array(tensor: Any) -> np.ndarray:
    """An array of a tensor's own dtype; PyTorch does not hand bfloat16 on to NumPy."""
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(jax.numpy.bfloat16)
    return tensor.numpy()


# Arrays and tapes ---------------------------------------------------------------------


def _one_set(arrays: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(a)[None] for a in arrays]


def _stacked(
    record: Callable[[Arguments], Tape], arguments: Arguments
) -> list[np.ndarray]:
    """The outputs of the tapes of all sets of arguments."""
    count = max(map(len, arguments.all()), default=1)
    outputs_by_set = []
    for k in range(count):
        tape = record(arguments.sets(slice(k, k + 1)))
        outputs_by_set.append([tape.values[n][0] for n in tape.outputs])
    return [np.stack(sets) for sets in zip(*outputs_by_set, strict=True)]


def _constants(tape: Tape) -> list[int]:
    """The values that are rounded to float32, and neither arguments nor computed."""
    made = {*tape.arguments, *tape.maker}
    constants = []
    for n, value in enumerate(tape.values):
        if n not in made and _is_rounded(value):
            constants.append(n)
    return constants


def _is_rounded(a: np.ndarray) -> bool:
    """Whether some of its numbers are rounded to float32, as 0.1 is."""
    if a.dtype.kind != "f":
        return False
    has_digits = (a * 1024 != np.rint(a * 1024)).any()
    return bool(has_digits and (a == a.astype(np.float32)).all())

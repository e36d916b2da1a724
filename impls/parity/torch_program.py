"""A module of PyTorch as a program: it runs in float64 for each set of values, and is recorded as it runs."""

import copy
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch._decomp import decomposition_table  # pyright: ignore[reportMissingImports]
from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]
from torch.utils._python_dispatch import TorchDispatchMode  # pyright: ignore[reportMissingImports]
from torch.utils._pytree import tree_leaves, tree_map_only  # pyright: ignore[reportMissingImports]

from ...common.parity.programs import JITTER, Result, failed
from ...common.parity.values import Arguments, weights_of
from ...common.program import CodeLine
from ...common.program.model import TRAIN, leaves_of
from ...common.program.tape import Step, Tape

#: JAX's names of operations, by which the steps of two programs are compared.
NAMES = {
    name: of_jax
    for of_jax, names in {
        "dot_general": "mm bmm mv dot",
        "conv_general_dilated": "convolution mkldnn_convolution",
        "rev": "flip",
        "reshape": "view _unsafe_view _reshape_alias",
        "slice": "select narrow",
        "expand_dims": "unsqueeze",
        "split": "unbind split_with_sizes unsafe_split unsafe_chunk chunk",
        "concatenate": "cat stack",
        "sub": "rsub",
        "copy": "detach clone alias copy_ lift_fresh contiguous",
        "add": "add_",
        "mul": "mul_",
        "logistic": "sigmoid",
        "max": "relu maximum clamp_min",
        "transpose": "t permute",
        "gather": "index embedding",
        "select_n": "where",
        "convert_element_type": "_to_copy",
        "broadcast_in_dim": "expand",
        "pad": "constant_pad_nd",
    }.items()
    for name in names.split()
}
#: The axes over which a product sums, for each of its operands.
SUMMED = {
    "mm": ((1,), (0,)),
    "mv": ((1,), (0,)),
    "dot": ((0,), (0,)),
    "bmm": ((2,), (1,)),
}
#: Operations that are recorded as the steps of which they consist.
WHOLES = (
    *(
        "native_layer_norm",
        "native_batch_norm",
        "native_group_norm",
        "_fused_rms_norm",
        "_softmax",
        "_log_softmax",
    ),
    *(
        "addmm",
        "baddbmm",
        "addmv",
        "gelu",
        "silu",
        "elu",
        "leaky_relu",
        "softplus",
        "hardswish",
        "mish",
        "glu",
    ),
    *(
        "native_layer_norm_backward",
        "native_batch_norm_backward",
        "native_group_norm_backward",
    ),
    *(
        "_softmax_backward_data",
        "_log_softmax_backward_data",
        "sigmoid_backward",
        "tanh_backward",
        "silu_backward",
    ),
    *("gelu_backward", "threshold_backward"),
)
NARROW = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
)  # dtypes that are computed in float64 instead
UNIFORM, NORMAL = (
    0.25,
    -0.6744897501960817,
)  # the number that is drawn, each time, from 0 to 1 and normally
DRAWN = {
    **dict.fromkeys(("rand", "rand_like", "uniform_", "uniform"), UNIFORM),
    **dict.fromkeys(("randn", "randn_like", "normal_"), NORMAL),
}
RANDOM = {"bernoulli", "bernoulli_", *DRAWN}
#: Parts of the names of files that carry operations out.
INSIDE = ("/torch/_", "/torch/utils/_", "/jaxtyping/")


class TorchProgram:
    """A module of PyTorch in one mode, with the methods of `trigru.common.parity.programs.TracedProgram`."""

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
        self.model, self.mode, self._method, self._own = model, mode, method, module
        self._module = copy.deepcopy(module).double().requires_grad_(True)
        for part in self._module.modules():
            for name, value in vars(part).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    setattr(part, name, value.double())
        params, self.param_values, _ = leaves_of(model.params)
        states, self.state_values, _ = leaves_of(model.state)
        self.params, self.states = (
            [replace(leaf, path=leaf.path.replace(".", "/")) for leaf in leaves]
            for leaves in (params, states)
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
        fixed = [
            n
            for n, pair in enumerate(zip(self.state_values, new, strict=True))
            if np.array_equal(*pair)
        ]
        self._narrow = [
            len(params) + n for n in fixed if _is_rounded(self.state_values[n])
        ]
        self.narrow_constants = bool(self._narrow or _constants(tape))

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        def record(some: Arguments) -> Tape:
            tape = self._recorded(
                some, with_steps=jitter > 0
            )  # with which narrow constants are moved, if little
            rng, by = np.random.default_rng(jitter), JITTER * np.finfo(np.float32).eps
            numbers = (
                [*_constants(tape), *(tape.arguments[n] for n in self._narrow)]
                if jitter
                else []
            )
            values = {n: tape.values[n] for n in numbers}
            return tape.changed(
                {
                    n: a * (1 + by * rng.uniform(-1, 1, a.shape))
                    for n, a in values.items()
                }
            )

        return Result(self, _stacked(record, arguments))

    def gradient(self, arguments: Arguments) -> Result:
        return Result(self, _stacked(partial(self._recorded, gradient=True), arguments))

    def tape(self, arguments: Arguments) -> Tape:
        return self._recorded(arguments, with_steps=True)

    def gradient_tape(self, arguments: Arguments) -> Tape:
        with (
            torch.autograd.set_detect_anomaly(True, check_nan=False),
            warnings.catch_warnings(action="ignore"),
        ):
            return self._recorded(arguments, gradient=True, with_steps=True)

    def run(
        self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool
    ) -> list[Any]:
        own = copy.deepcopy(self._own)
        own.train(self._module.training)
        _put(own, arguments)
        with torch.no_grad(), _plain(torch.get_default_dtype()):
            outputs = self._called(own, list(map(_tensor, jax.tree.leaves(inputs))))
            # PyTorch does not hand on to NumPy bfloat16, nor, but without gradients, an output that is a parameter
            return [
                a.float().numpy().astype(jax.numpy.bfloat16)
                if a.dtype == torch.bfloat16
                else a.numpy()
                for a in outputs
            ]

    def _recorded(
        self,
        arguments: Arguments,
        *,
        gradient: bool = False,
        training: bool = False,
        with_steps: bool = False,
    ) -> Tape:
        """The outputs for the first set of arguments; with steps, all values; with a gradient, those of it, too."""
        module = copy.deepcopy(self._module)
        module.train(training or self._module.training)
        _put(module, arguments)
        params, states = _leaves(module)
        leaves = [_tensor(a[0]) for a in arguments.inputs]
        leaves = [
            a.double().requires_grad_(gradient) if a.is_floating_point() else a
            for a in leaves
        ]
        by = (
            [torch.from_numpy(np.array(a[0])) for a in weights_of(self.outputs)]
            if gradient
            else []
        )
        recorder = Recorder([*params, *states, *leaves, *by], with_steps=with_steps)
        with torch.set_grad_enabled(gradient), _plain(torch.float64), recorder:
            results = self._called(module, leaves)
            terms = [
                (y * w).sum()
                for y, w in zip(results, by, strict=False)
                if y.is_floating_point()
            ]
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
        outputs = self.model.shared(
            getattr(module, self._method)(*given, **self.model.keywords[self.mode])
        )
        leaves = jax.tree.leaves(outputs, is_leaf=lambda a: isinstance(a, torch.Tensor))
        tensors = []
        for leaf in leaves:  # a record of outputs, as Hugging Face's, is a leaf to JAX
            parts = list(leaf.values()) if isinstance(leaf, Mapping) else leaf
            tensors += tree_leaves(parts)
        return [a for a in tensors if isinstance(a, torch.Tensor)]


def _constants(tape: Tape) -> list[int]:
    """The values that are rounded to float32, and neither arguments nor computed."""
    made = {*tape.arguments, *tape.maker}
    return [
        n for n, value in enumerate(tape.values) if n not in made and _is_rounded(value)
    ]


def _put(module: torch.nn.Module, arguments: Arguments) -> None:
    with torch.no_grad():
        for target, value in zip(
            chain(*_leaves(module)), [*arguments.params, *arguments.state], strict=True
        ):
            target.copy_(torch.from_numpy(np.array(value[0])))


def _stacked(
    record: Callable[[Arguments], Tape], arguments: Arguments
) -> list[np.ndarray]:
    """The outputs of the tapes of all sets of arguments."""
    tapes = (
        record(arguments.sets(slice(k, k + 1)))
        for k in range(max(map(len, arguments.all()), default=1))
    )
    sets = [[tape.values[n][0] for n in tape.outputs] for tape in tapes]
    return [np.stack(column) for column in zip(*sets, strict=True)]


def _is_rounded(a: np.ndarray) -> bool:
    """Whether some of its numbers are rounded to float32, as 0.1 is."""
    return a.dtype.kind == "f" and bool(
        (a * 1024 != np.rint(a * 1024)).any() and (a == a.astype(np.float32)).all()
    )


@contextmanager
def _plain(dtype: torch.dtype) -> Iterator[None]:
    """A number that is made without a dtype has this one; attention and the layers of a transformer are not fused."""
    dtype_before, fast_before = (
        torch.get_default_dtype(),
        torch.backends.mha.get_fastpath_enabled(),
    )
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
    return [a for _, a in sorted(module.named_parameters())], [
        a for _, a in sorted(buffers)
    ]


class Recorder(TorchDispatchMode):
    """Records each operation with its operands, its results, and the lines that led to it.

    It computes in float64 where a program asks for a narrower dtype, and draws the same number each time. A value is
    known by the place of its numbers in memory: what autograd keeps for the way back is the same value.
    """

    def __init__(self, arguments: Sequence[Any], *, with_steps: bool):
        super().__init__()
        self.draws, self._with_steps = False, with_steps
        self._tape = Tape()
        self._tensors: dict[Any, Any] = {}
        self._numbers: dict[Any, int] = {}
        self._tape.arguments = tuple(
            map(self._new, arguments)
        )  # before an operation can write to them

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = tree_map_only(
            torch.dtype,
            lambda d: torch.float64 if d in NARROW else d,
            (args, kwargs or {}),
        )
        name = str(func.overloadpacket.__name__)
        self.draws = self.draws or name in RANDOM
        if not self._with_steps:
            return _run(func, args, kwargs)
        if name in WHOLES and func in decomposition_table:
            with self:
                return decomposition_table[func](*args, **kwargs)
        operands = _tensors((args, kwargs))
        numbers = tuple(map(self._number, operands))
        found = _run(func, args, kwargs)
        lines, results = _lines(), _tensors(found)
        changed = [n for n, a in enumerate(operands) if self._changed(a)]
        if changed or not all(_place(a) in self._numbers for a in results):
            new = tuple(map(self._new, [*results, *(operands[n] for n in changed)]))
            again, summed = (
                _again(func, (args, kwargs), changed),
                _summed(name, operands),
            )
            self._tape.record(
                Step(NAMES.get(name, name), again, numbers, new, lambda: lines, summed)
            )
            for n in changed:
                self._others(operands[n], lines)
        return found

    def finished(self, outputs: Sequence[Any]) -> Tape:
        self._tape.outputs = tuple(
            map(self._number if self._with_steps else self._new, outputs)
        )
        return self._tape

    def _number(self, tensor: Any) -> int:
        place = _place(tensor)
        return self._numbers[place] if place in self._numbers else self._new(tensor)

    def _new(self, tensor: Any) -> int:
        place = _place(tensor)
        self._tensors[place] = tensor.detach()
        self._numbers[place] = self._tape.add(_numpy(tensor)[None])
        return self._numbers[place]

    def _changed(self, tensor: Any) -> bool:
        """Whether a tensor has other numbers than when it was recorded."""
        return not np.array_equal(
            self._tape.values[self._number(tensor)][0], _numpy(tensor), equal_nan=True
        )

    def _others(self, written: Any, lines: tuple[CodeLine, ...]) -> None:
        """Record what else has other numbers since it shares memory with a tensor that was written to."""
        own, source = _place(written), self._number(written)
        for place, tensor in list(self._tensors.items()):
            if place[0] == own[0] and place != own and self._changed(tensor):
                operands = self._numbers[place], source
                self._numbers[place] = self._tape.add(_numpy(tensor)[None])
                share, new = _share(tensor, written), (self._numbers[place],)
                self._tape.record(
                    Step("dynamic_update_slice", share, operands, new, lambda: lines)
                )


def _again(func: Any, call: Any, changed: Sequence[int]) -> Any:
    """An operation as a function of arrays with an axis of sets: its results, and the operands to which it writes."""
    hole = object()
    call = tree_map_only(torch.Tensor, lambda _: hole, call)

    def run(*operands: Any) -> Any:
        tensors = [torch.from_numpy(np.array(a[0])) for a in operands]
        rest = iter(tensors)
        args, kwargs = tree_map_only(
            object, lambda a: next(rest) if a is hole else a, call
        )
        with torch.no_grad():
            results = _tensors(_run(func, args, kwargs))
        arrays = [_numpy(a)[None] for a in (*results, *(tensors[n] for n in changed))]
        return arrays[0] if len(arrays) == 1 else arrays

    return run


def _share(tensor: Any, written: Any) -> Any:
    """What a tensor becomes of its numbers before, and of those of another one in its memory, which is written to."""
    places = torch.arange(tensor.untyped_storage().nbytes() // tensor.element_size())
    mine, other = (
        places.as_strided(a.shape, a.stride(), a.storage_offset()).numpy()
        for a in (tensor, written)
    )
    sources = np.full(len(places), -1)
    sources[other.reshape(-1)] = np.arange(other.size)
    source = sources[mine]
    return lambda before, new: np.where(
        source >= 0, np.asarray(new[0]).reshape(-1)[source], before[0]
    )[None]


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of an operation; of one that draws numbers, the same number each time."""
    name = func.overloadpacket.__name__
    if name == "bernoulli":
        return (args[0] > UNIFORM).to(args[0].dtype)
    if name == "bernoulli_":
        chance = args[1] if len(args) > 1 else 0.5
        return args[0].copy_(torch.as_tensor(chance > UNIFORM).expand(args[0].shape))
    found = func(*args, **kwargs)
    return found.fill_(DRAWN[name]) if name in DRAWN else found


def _tensors(found: Any) -> list[Any]:
    return [a for a in tree_leaves(found) if isinstance(a, torch.Tensor)]


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().resolve_conj().resolve_neg().numpy().copy()


def _place(tensor: Any) -> tuple[Any, ...]:
    storage = tensor.untyped_storage().data_ptr()
    return (
        storage,
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
    )


def _summed(
    name: str, operands: Sequence[Any]
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    if name == "convolution":
        axes = [tuple((n,) for n in range(1, a.ndim)) for a in operands[:2]]
        return (*axes, *[()] * (len(operands) - 2))
    return tuple((axes,) if axes else () for axes in SUMMED.get(name, ()))


def _lines() -> tuple[CodeLine, ...]:
    """The lines that led to an operation, the innermost first; on the way back, those of the way there."""
    node: Any = torch._C._current_autograd_node()
    if node is not None:
        found = re.findall(
            r'File "(.*?)", line (\d+), in (.*)',
            "".join(node.metadata.get("traceback_", ())),
        )
        lines = [
            CodeLine(file, int(line), function)
            for file, line, function in reversed(found)
        ]
    else:
        frame, lines = sys._getframe(2), []
        while frame is not None:
            lines.append(
                CodeLine(
                    frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
                )
            )
            frame = frame.f_back
    own = (
        n
        for n, line in enumerate(lines)
        if line.file == __file__ and "__torch_dispatch__" not in line.function
    )
    lines = lines[: next(own, None)]
    return tuple(
        line
        for line in lines
        if not any(part in line.file for part in (*INSIDE, __file__))
    )

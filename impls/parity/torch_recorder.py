"""Records the operations of a run of PyTorch."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch._decomp import decomposition_table  # pyright: ignore[reportMissingImports]
from torch.utils._python_dispatch import TorchDispatchMode  # pyright: ignore[reportMissingImports]
from torch.utils._pytree import tree_leaves, tree_map_only  # pyright: ignore[reportMissingImports]

from ...common.program import CodeLine
from ...common.program.tape import Step, Tape

#: PyTorch's operations by JAX's names, by which the steps of two programs are compared.
PYTORCH_NAMES = {
    "dot_general": ("mm", "bmm", "mv", "dot"),
    "conv_general_dilated": ("convolution", "mkldnn_convolution"),
    "rev": ("flip",),
    "reshape": ("view", "_unsafe_view", "_reshape_alias"),
    "slice": ("select", "narrow"),
    "expand_dims": ("unsqueeze",),
    "split": ("unbind", "split_with_sizes", "unsafe_split", "unsafe_chunk", "chunk"),
    "concatenate": ("cat", "stack"),
    "sub": ("rsub",),
    "copy": ("detach", "clone", "alias", "copy_", "lift_fresh", "contiguous"),
    "add": ("add_",),
    "mul": ("mul_",),
    "logistic": ("sigmoid",),
    "max": ("relu", "maximum", "clamp_min"),
    "transpose": ("t", "permute"),
    "gather": ("index", "embedding"),
    "select_n": ("where",),
    "convert_element_type": ("_to_copy",),
    "broadcast_in_dim": ("expand",),
    "pad": ("constant_pad_nd",),
}
JAX_NAMES = {name: jax for jax, names in PYTORCH_NAMES.items() for name in names}
#: The axes over which a product sums, for each of its operands.
SUMMED = {
    "mm": ((1,), (0,)),
    "mv": ((1,), (0,)),
    "dot": ((0,), (0,)),
    "bmm": ((2,), (1,)),
}
#: Operations that are recorded as the steps of which they consist.
WHOLES = (
    "native_layer_norm",
    "native_batch_norm",
    "native_group_norm",
    "_fused_rms_norm",
    "_softmax",
    "_log_softmax",
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
    "native_layer_norm_backward",
    "native_batch_norm_backward",
    "native_group_norm_backward",
    "_softmax_backward_data",
    "_log_softmax_backward_data",
    "sigmoid_backward",
    "tanh_backward",
    "silu_backward",
    "gelu_backward",
    "threshold_backward",
)
#: Dtypes that are computed in float64 instead.
NARROW = (torch.float32, torch.float16, torch.bfloat16)
#: The number that is drawn from 0 to 1, each time; and the number of the normal
#: distribution with as much probability below it.
UNIFORM = 0.25
NORMAL = -0.6744897501960817
#: What operations draw that fill an array with random numbers.
DRAWN = {
    "rand": UNIFORM,
    "rand_like": UNIFORM,
    "uniform_": UNIFORM,
    "uniform": UNIFORM,
    "randn": NORMAL,
    "randn_like": NORMAL,
    "normal_": NORMAL,
}
RANDOM = {"bernoulli", "bernoulli_", *DRAWN}
#: Parts of the names of files that carry operations out.
INSIDE = ("/torch/_", "/torch/utils/_", "/jaxtyping/")
_ROOM = f"{Path(__file__).parent}/"

#: A tensor's place in memory: storage, offset, shape, strides and dtype.
Place = tuple[Any, ...]


class Recorder(TorchDispatchMode):
    """Records each operation: its operands, its results and the lines that led to it.

    It computes in float64 where a program asks for a narrower dtype, and draws the same
    number each time. A value is known by the place of its numbers in memory, so that
    what autograd keeps for the backward pass is the same value.
    """

    def __init__(self, arguments: Sequence[Any], *, with_steps: bool):
        super().__init__()
        self.draws = False
        self._with_steps = with_steps
        self._tape = Tape()
        self._tensors: dict[Place, Any] = {}
        self._numbers: dict[Place, int] = {}
        # Before an operation can write to them.
        self._tape.arguments = tuple(map(self._add, arguments))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = tree_map_only(torch.dtype, _wide, (args, kwargs or {}))
        name = str(func.overloadpacket.__name__)
        self.draws = self.draws or name in RANDOM
        if not self._with_steps:
            return _run(func, args, kwargs)
        if name in WHOLES and func in decomposition_table:
            with self:
                return decomposition_table[func](*args, **kwargs)
        # A decomposition may use operations that consist of others, too.
        with self:
            returned = func.decompose(*args, **kwargs)
        if returned is not NotImplemented:
            return returned

        operands = _tensors((args, kwargs))
        numbers = tuple(map(self._number, operands))
        returned = _run(func, args, kwargs)
        results = _tensors(returned)
        written = [n for n, a in enumerate(operands) if self._is_changed(a)]
        if written or any(_place(a) not in self._numbers for a in results):
            lines = _lines()
            changed = [*results, *(operands[n] for n in written)]
            step = Step(
                JAX_NAMES.get(name, name),
                _replay(func, (args, kwargs), written),
                numbers,
                tuple(map(self._add, changed)),
                lambda: lines,
                _summed(name, operands),
                numbers=tuple(a for a in args if type(a) is float),
            )
            self._tape.record(step)
            for n in written:
                self._record_sharing(operands[n], lines)
        return returned

    def finished(self, outputs: Sequence[Any]) -> Tape:
        """The tape, with these outputs."""
        number = self._number if self._with_steps else self._add
        self._tape.outputs = tuple(map(number, outputs))
        return self._tape

    def _number(self, tensor: Any) -> int:
        """The number of a value on the tape, to which a new one is added."""
        place = _place(tensor)
        return self._numbers[place] if place in self._numbers else self._add(tensor)

    def _add(self, tensor: Any) -> int:
        place = _place(tensor)
        self._tensors[place] = tensor.detach()
        self._numbers[place] = self._tape.add(_array(tensor)[None])
        return self._numbers[place]

    def _is_changed(self, tensor: Any) -> bool:
        """Whether a tensor has other numbers than when it was recorded."""
        recorded = self._tape.values[self._number(tensor)][0]
        return not np.array_equal(recorded, _array(tensor), equal_nan=True)

    def _record_sharing(self, written: Any, lines: tuple[CodeLine, ...]) -> None:
        """Record the tensors that a write to one of them has changed, too.

        They share its memory.
        """
        written_place = _place(written)
        source = self._number(written)
        for place, tensor in list(self._tensors.items()):
            shares = place[0] == written_place[0] and place != written_place
            if not shares or not self._is_changed(tensor):
                continue
            before = self._numbers[place]
            after = self._tape.add(_array(tensor)[None])
            self._numbers[place] = after
            share = _share(tensor, written)
            self._tape.record(
                Step(
                    "dynamic_update_slice",
                    share,
                    (before, source),
                    (after,),
                    lambda: lines,
                )
            )


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype in NARROW else dtype


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of an operation; one that draws has the same numbers each time."""
    name = func.overloadpacket.__name__
    if name == "bernoulli":
        return (args[0] > UNIFORM).to(args[0].dtype)
    if name == "bernoulli_":
        chance = args[1] if len(args) > 1 else 0.5
        return args[0].copy_(torch.as_tensor(chance > UNIFORM).expand(args[0].shape))
    result = func(*args, **kwargs)
    return result.fill_(DRAWN[name]) if name in DRAWN else result


def _replay(func: Any, call: Any, written: Sequence[int]) -> Callable[..., Any]:
    """An operation as a function of arrays with an axis of sets.

    It returns the results, and the operands to which the operation writes.
    """
    hole = object()
    call = tree_map_only(torch.Tensor, lambda _: hole, call)

    def run(*operands: Any) -> Any:
        tensors = [torch.from_numpy(np.array(a[0])) for a in operands]
        rest = iter(tensors)

        def filled(argument: Any) -> Any:
            return next(rest) if argument is hole else argument

        args, kwargs = tree_map_only(object, filled, call)
        with torch.no_grad():
            results = _tensors(_run(func, args, kwargs))
        results += [tensors[n] for n in written]
        arrays = [_array(a)[None] for a in results]
        return arrays[0] if len(arrays) == 1 else arrays

    return run


def _share(tensor: Any, written: Any) -> Callable[..., Any]:
    """How a tensor changes by a write to another one that shares its memory.

    The function takes its numbers before, and the numbers that were written, and
    returns its numbers after.
    """
    size = tensor.untyped_storage().nbytes() // tensor.element_size()

    def places_in_memory(a: Any) -> np.ndarray:
        numbers = torch.arange(size)
        return numbers.as_strided(a.shape, a.stride(), a.storage_offset()).numpy()

    places_written = places_in_memory(written).reshape(-1)
    sources = np.full(size, -1)  # -1 is not written to
    sources[places_written] = np.arange(places_written.size)
    source = sources[places_in_memory(tensor)]

    def run(before: Any, new: Any) -> Any:
        after = np.asarray(new[0]).reshape(-1)[source]
        return np.where(source >= 0, after, before[0])[None]

    return run


def _tensors(tree: Any) -> list[Any]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().resolve_conj().resolve_neg().numpy().copy()


def _place(tensor: Any) -> Place:
    storage = tensor.untyped_storage().data_ptr()
    shape = tuple(tensor.shape)
    return storage, tensor.storage_offset(), shape, tensor.stride(), tensor.dtype


def _summed(
    name: str, operands: Sequence[Any]
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """For each operand, the groups of axes over which a product sums."""
    if name != "convolution":
        return tuple((axes,) for axes in SUMMED.get(name, ()))
    inputs, kernel, *others = operands
    groups = [tuple((axis,) for axis in range(1, a.ndim)) for a in (inputs, kernel)]
    return (*groups, *(() for _ in others))


def _lines() -> tuple[CodeLine, ...]:
    """The lines that led to an operation, the innermost first.

    An operation of the backward pass has those of the forward pass.
    """
    node: Any = torch._C._current_autograd_node()
    lines = _stack() if node is None else _forward_lines(node)
    outer = []
    for line in lines:
        is_of_room = line.file.startswith(_ROOM)
        if is_of_room and "__torch_dispatch__" not in line.function:
            break  # from here on outwards, it is trigru that called the module
        if not is_of_room and not any(part in line.file for part in INSIDE):
            outer.append(line)
    return tuple(outer)


def _forward_lines(node: Any) -> Iterable[CodeLine]:
    """The lines that made a node of autograd, the innermost first."""
    text = "".join(node.metadata.get("traceback_", ()))
    frames = re.findall(r'File "(.*?)", line (\d+), in (.*)', text)
    return [CodeLine(file, int(line), name) for file, line, name in reversed(frames)]


def _stack() -> Iterable[CodeLine]:
    """The lines that run, the innermost first, from the caller of the recorder on."""
    frame = sys._getframe(3)
    while frame is not None:
        code = frame.f_code
        yield CodeLine(code.co_filename, frame.f_lineno, code.co_qualname)
        frame = frame.f_back

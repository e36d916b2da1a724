"""A model as it is compared: parameters, a function, its modes and its inputs."""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compat import name_of_key
from ..errors import InputError, brief
from . import is_key, wide
from .source import innermost

# The modes: a model is evaluated, trained, or has one mode alone.
EVAL = "eval"
TRAIN = "train"
CALL = "call"
#: Dtypes with 64 bits, and what JAX has without them.
NARROW = {
    "float64": "float32",
    "int64": "int32",
    "uint64": "uint32",
    "complex128": "complex64",
}


class Model:
    """A pytree of parameters and a function of it.

    Args:
        params: a pytree of arrays; those of floating-point numbers are compared and
            trained.
        function: of the parameters and the inputs, `function(params, *inputs)`, that
            returns a pytree of arrays; with a state, `function(params, state, *inputs)`
            that returns the outputs and the new state.
        name: for reports.
        state: a pytree of what goes in and comes out beside the parameters, such as
            batch statistics; None for none.
        train, eval: keywords of the function while training, and while evaluating; None
            if there is one mode alone.
        make: a function of a random key that returns the parameters of a new model, for
            comparing draws.
        inputs: a function that turns the shared inputs into this model's: it returns
            one input, or a tuple of them.
        outputs: a function that turns this model's outputs into the shared ones.
        optimizer: of Optax, with which this model is trained; None if training itself
            is not to be compared.

    Raises:
        InputError: no leaf of the parameters is an array of floating-point numbers.

    >>> linear = Model({"w": np.ones((3, 2))}, lambda params, x: x @ params["w"])
    >>> linear.paths()
    ['w']
    """

    #: Whose file formats can hold the model; empty for none.
    framework = ""
    #: Whether the function, as a framework's, takes a tuple of inputs, the mode, and
    #: its keywords.
    takes_mode = False
    #: A class of programs, in the place of `TracedProgram`.
    programs: Callable[..., Any] | None = None
    #: Makes the framework's own module of parameters and a state, for its file formats.
    whole: Any = None
    #: Of the leaves of the state; None where its pytree tells them.
    state_paths: Sequence[str] | None = None
    #: What may be wrong if a call fails or its outputs have other shapes, in a
    #: sentence; empty for none.
    hint = ""

    def __init__(
        self,
        params: Any,
        function: Callable[..., Any],
        *,
        name: str = "model",
        state: Any = None,
        train: Mapping[str, Any] | None = None,
        eval: Mapping[str, Any] | None = None,
        make: Callable[[Any], Any] | None = None,
        inputs: Callable[..., Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        optimizer: Any = None,
    ):
        self.name = name
        self.params = params
        self.state = state
        self.make = make
        self.optimizer = optimizer
        has_modes = train is not None or eval is not None
        self.modes = (EVAL, TRAIN) if has_modes else (CALL,)
        self.keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}
        self.made_at = innermost(traceback.extract_stack())
        self.function = function
        self._inputs = inputs
        self._outputs = outputs
        if not any(map(is_float, jax.tree.leaves(params))):
            raise InputError(
                f"{name} has no parameter: expected a pytree with arrays of "
                "floating-point numbers."
            )

    def __call__(
        self, params: Any, state: Any, inputs: tuple[Any, ...], mode: str
    ) -> tuple[Any, Any]:
        """The outputs and the new state, for the shared inputs."""
        own_inputs = self.given(inputs)
        keywords = self.keywords[mode]
        if self.takes_mode:
            outputs, state = self.function(params, state, own_inputs, mode, keywords)
            return self.shared(outputs), state
        if self.state is None:
            return self.shared(self.function(params, *own_inputs, **keywords)), None

        result = self.function(params, state, *own_inputs, **keywords)
        if not isinstance(result, tuple) or len(result) != 2:
            raise InputError(
                f"{self.name} has a state: its function has to return (outputs, state)."
            )
        outputs, state = result
        return self.shared(outputs), state

    def given(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The shared inputs as this model takes them."""
        if self._inputs is None:
            return inputs
        own = self._inputs(*inputs)
        return own if isinstance(own, tuple) else (own,)

    def shared(self, outputs: Any) -> Any:
        """The outputs in the layout that both models share."""
        return outputs if self._outputs is None else self._outputs(outputs)

    def paths(self) -> list[str]:
        """The paths of the parameters."""
        leaves, _, _ = leaves_of(self.params)
        return [leaf.path for leaf in leaves]


@dataclass(frozen=True)
class Leaf:
    """A parameter, as an array.

    The first product with it sums over numbers of it that are as far from the first of
    them, flattened, as `summed` says, in groups; that is empty if no product takes it.
    """

    path: str  # the names on the way to it, joined by slashes
    shape: tuple[int, ...]
    #: When it is used first, among all leaves of the model.
    used: tuple[int, int] = (0, 0)
    summed: tuple[frozenset[int], ...] = ()
    number: int = -1  # among the leaves of its model
    is_frozen: bool = False  # whether training leaves it alone
    is_complex: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def module(self) -> str:
        return self.path.rpartition("/")[0]


def checked(model: Any, which: str) -> Model:
    """The model.

    Raises an InputError if it is none, whose message begins with which it is.
    """
    if not isinstance(model, Model):
        raise InputError(
            f"{which} is of type {type(model).__name__}, expected a "
            "trigru.parity.Model, such as Model.linen(module, variables), "
            "Model.nnx(module) or Model.equinox(model)."
        )
    return model


def named_apart(reference: Model, candidate: Model) -> tuple[Model, Model]:
    """Both models, with names by which reports can tell them apart.

    They keep the names that they have if these differ.
    """
    if reference.name == candidate.name:
        reference = copy.copy(reference)
        candidate = copy.copy(candidate)
        reference.name += " (reference)"
        candidate.name += " (candidate)"
    return reference, candidate


def is_float(leaf: Any) -> bool:
    """Whether a leaf is an array of real or complex numbers."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def in_dtypes_of(tree: Any, values: Sequence[Any]) -> list[np.ndarray]:
    """Values in the dtypes of the floating-point leaves of a tree."""
    leaves = filter(is_float, jax.tree.leaves(tree))
    pairs = zip(values, leaves, strict=True)
    return [np.asarray(value, leaf.dtype) for value, leaf in pairs]


def leaves_of(
    tree: Any, paths: Sequence[str] | None = None
) -> tuple[list[Leaf], list[np.ndarray], Callable[[list[Any]], Any]]:
    """The leaves of floating-point numbers, with their values in float64.

    Also returns a function that puts other values in their place.
    """
    everything, structure = jax.tree_util.tree_flatten_with_path(tree)
    real = [(keys, leaf) for keys, leaf in everything if is_float(leaf)]
    paths = paths or [path_of(keys) for keys, _ in real]
    leaves = []
    values = []
    for path, (_, leaf) in zip(paths, real, strict=True):
        is_complex = jnp.issubdtype(leaf.dtype, jnp.complexfloating)
        leaves.append(
            Leaf(
                path, tuple(leaf.shape), number=len(leaves), is_complex=bool(is_complex)
            )
        )
        values.append(np.asarray(leaf).astype(wide(leaf.dtype)))

    def rebuild(new: list[Any]) -> Any:
        rest = iter(new)
        parts = [next(rest) if is_float(leaf) else leaf for _, leaf in everything]
        return jax.tree.unflatten(structure, parts)

    return leaves, values, rebuild


def path_of(keys: tuple[Any, ...]) -> str:
    """The keys on the way to a leaf, joined by slashes.

    Those of a variable's box are left out.
    """
    names = list(map(name_of_key, keys))
    while len(names) > 1 and names[-1] in ("value", "raw_value"):
        names.pop()
    return "/".join(names)


def as_arrays(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs as arrays that JAX has without 64 bits.

    Raises:
        InputError: there is none, or one that is no array of numbers, is empty, or has
            NaN or infinity.
    """
    if not jax.tree.leaves(inputs):
        raise InputError(
            "no input: expected an array, or a tuple of them, with which both models "
            "are called."
        )
    return jax.tree.map(_as_array, inputs)


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and is_key(leaf):
        return leaf
    value = np.asarray(leaf)
    is_inexact = jnp.issubdtype(value.dtype, jnp.inexact)
    if not is_inexact and value.dtype.kind not in "iub":
        raise InputError(
            f"an input is {brief(repr(leaf))}, expected an array of numbers."
        )
    if is_inexact and not np.isfinite(value.astype(np.complex128)).all():
        raise InputError(
            "an input has NaN or infinity, with which nothing can be compared: pass "
            "finite numbers."
        )
    if not value.size:
        raise InputError(
            f"an input of shape {value.shape} is empty, with which nothing can be "
            "compared."
        )
    return value.astype(NARROW.get(value.dtype.name, value.dtype))

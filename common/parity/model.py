"""A model: parameters, a function of them, the modes in which it is called, and the values that it is called with."""

import copy
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, brief
from ..program import is_key, wide
from ..program.rules import one_set
from .layouts import Leaf
from .report import innermost

EVAL, TRAIN, CALL = (
    "eval",
    "train",
    "call",
)  # a model is evaluated, trained, or has one mode alone
#: The sets of values: parameters and inputs as given, and others in the place of the parameters; the third also has the
#: inputs in another order.
AS_GIVEN, OTHERS = slice(0, 1), slice(1, 2)
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
        params: a pytree of arrays; those of floating-point numbers are compared and trained.
        function: of the parameters and the inputs, `function(params, *inputs)`, that returns a pytree of arrays; with
            a state, `function(params, state, *inputs)` that returns the outputs and the new state.
        name: for reports.
        state: a pytree of what goes in and comes out beside the parameters, such as batch statistics; None for none.
        train, eval: keywords of the function while training, and while evaluating; None if there is one mode alone.
        make: a function of a random key that returns the parameters of a new model, for comparing draws.
        inputs: a function that turns the shared inputs into this model's: it returns one input, or a tuple of them.
        outputs: a function that turns this model's outputs into the shared ones.
        optimizer: of Optax, with which this model is trained; None if training itself is not to be compared.

    Raises:
        InputError: no leaf of the parameters is an array of floating-point numbers.

    >>> Model({"w": np.ones((3, 2))}, lambda params, x: x @ params["w"], name="linear").paths()
    ['w']
    """

    framework = ""  # whose file formats can hold the model; empty for none
    takes_mode = False  # whether the function, as a framework's, takes a tuple of inputs, the mode, and its keywords
    programs: Callable[..., Any] | None = (
        None  # a class of programs, in the place of `TracedProgram`
    )
    whole: Any = None  # makes the framework's own module of parameters and a state, for its file formats
    state_paths: Sequence[str] | None = (
        None  # of the leaves of the state; None where its pytree tells them
    )
    hint = ""  # what may be wrong if a call fails or its outputs have other shapes, in a sentence; empty for none

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
        self.name, self.params, self.state, self.make, self.optimizer = (
            name,
            params,
            state,
            make,
            optimizer,
        )
        self.modes = (EVAL, TRAIN) if train is not None or eval is not None else (CALL,)
        self.keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}
        self.made_at = innermost(traceback.extract_stack())
        self._function, self._inputs, self._outputs = function, inputs, outputs
        if not any(map(is_float, jax.tree.leaves(params))):
            raise InputError(
                f"{name} has no parameter: expected a pytree with arrays of floating-point numbers."
            )

    def __call__(
        self, params: Any, state: Any, inputs: tuple[Any, ...], mode: str
    ) -> tuple[Any, Any]:
        """The outputs and the new state, for the shared inputs."""
        given, keywords = self.given(inputs), self.keywords[mode]
        if self.takes_mode:
            result = self._function(params, state, given, mode, keywords)
        elif self.state is None:
            result = self._function(params, *given, **keywords), None
        else:
            result = self._function(params, state, *given, **keywords)
            if not isinstance(result, tuple) or len(result) != 2:
                raise InputError(
                    f"{self.name} has a state: its function has to return (outputs, state)."
                )
        outputs, state = result
        return self.shared(outputs), state

    def given(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        own = inputs if self._inputs is None else self._inputs(*inputs)
        return own if isinstance(own, tuple) else (own,)

    def shared(self, outputs: Any) -> Any:
        """The outputs in the layout that both models share."""
        return outputs if self._outputs is None else self._outputs(outputs)

    def program(self, inputs: tuple[Any, ...], mode: str) -> Any:
        """The model in one mode, for inputs of these shapes, as a program that can be evaluated in float64."""
        from .programs import TracedProgram

        return (self.programs or TracedProgram)(self, inputs, mode)

    def paths(self) -> list[str]:
        return [leaf.path for leaf in leaves_of(self.params)[0]]


def checked(model: Any, which: str) -> Model:
    """The model. Raises an InputError if it is none, whose message begins with which it is."""
    if not isinstance(model, Model):
        raise InputError(
            f"{which} is of type {type(model).__name__}, expected a trigru.parity.Model, such as "
            "Model.linen(module, variables), Model.nnx(module) or Model.equinox(model)."
        )
    return model


def named_apart(reference: Model, candidate: Model) -> tuple[Model, Model]:
    """Both models; if they have one name, with names by which reports can tell them apart."""
    if reference.name == candidate.name:
        reference, candidate = copy.copy(reference), copy.copy(candidate)
        reference.name, candidate.name = (
            f"{reference.name} (reference)",
            f"{candidate.name} (candidate)",
        )
    return reference, candidate


def is_float(leaf: Any) -> bool:
    """Whether a leaf is an array of real or complex numbers."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def in_dtypes_of(tree: Any, values: Sequence[Any]) -> list[np.ndarray]:
    """Values in the dtypes of the floating-point leaves of a tree."""
    leaves = filter(is_float, jax.tree.leaves(tree))
    return [
        np.asarray(value, leaf.dtype)
        for value, leaf in zip(values, leaves, strict=True)
    ]


def leaves_of(
    tree: Any, paths: Sequence[str] | None = None
) -> tuple[list[Leaf], list[np.ndarray], Callable[[list[Any]], Any]]:
    """The leaves of floating-point numbers, their values in float64, and a function that puts others in their place."""
    everything, structure = jax.tree_util.tree_flatten_with_path(tree)
    real = [(keys, leaf) for keys, leaf in everything if is_float(leaf)]
    paths = paths or [path_of(keys) for keys, _ in real]
    named = enumerate(zip(paths, real, strict=True))
    leaves = [Leaf(path, tuple(leaf.shape), number=n) for n, (path, (_, leaf)) in named]
    values = [np.asarray(leaf).astype(wide(leaf.dtype)) for _, leaf in real]

    def rebuild(new: list[Any]) -> Any:
        rest = iter(new)
        return jax.tree.unflatten(
            structure,
            [next(rest) if is_float(leaf) else leaf for _, leaf in everything],
        )

    return leaves, values, rebuild


def path_of(keys: tuple[Any, ...]) -> str:
    """The keys on the way to a leaf, joined by slashes, without those of a variable's box."""
    names = [
        str(next(getattr(key, n) for n in ("key", "idx", "name") if hasattr(key, n)))
        for key in keys
    ]
    while len(names) > 1 and names[-1] in ("value", "raw_value"):
        names.pop()
    return "/".join(names)


@dataclass(frozen=True)
class Arguments:
    """What a program is called with: leaves with an axis of sets in front, whose length is 1 where all are alike."""

    params: list[Any]
    state: list[Any]
    inputs: list[Any]

    def sets(self, some: slice) -> "Arguments":
        kinds = (self.params, self.state, self.inputs)
        return Arguments(
            *([a[some] if len(a) > 1 else a for a in leaves] for leaves in kinds)
        )

    def all(self) -> list[Any]:
        return [*self.params, *self.state, *self.inputs]


def as_arrays(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs as arrays that JAX has without 64 bits.

    Raises:
        InputError: there is none, or one that is no array of numbers, is empty, or has NaN or infinity.
    """

    def array(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and is_key(leaf):
            return leaf
        value = np.asarray(leaf)
        if value.dtype.kind not in "fciub" and not jnp.issubdtype(
            value.dtype, jnp.inexact
        ):
            raise InputError(
                f"an input is {brief(repr(leaf))}, expected an array of numbers."
            )
        if (
            jnp.issubdtype(value.dtype, jnp.inexact)
            and not np.isfinite(value.astype(np.complex128)).all()
        ):
            raise InputError(
                "an input has NaN or infinity, with which nothing can be compared: pass finite numbers."
            )
        if not value.size:
            raise InputError(
                f"an input of shape {value.shape} is empty, with which nothing can be compared."
            )
        return value.astype(NARROW.get(value.dtype.name, value.dtype))

    if not jax.tree.leaves(inputs):
        raise InputError(
            "no input: expected an array, or a tuple of them, with which both models are called."
        )
    return jax.tree.map(array, inputs)


def param_sets(values: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Parameters as they are, and twice moved at random, so that zeros and ones hide nothing."""
    result = []
    for n, value in enumerate(values, seed):
        size = float(np.sqrt(np.mean(np.abs(value) ** 2))) if value.size else 0.0
        moved = value + 0.3 * (size or 0.2) * np.random.default_rng(n).standard_normal(
            value.shape
        )
        result.append(np.stack([value, moved, moved]))
    return result


def state_sets(
    values: Sequence[np.ndarray], fixed: Collection[int] = ()
) -> list[np.ndarray]:
    """A state as it is, and twice moved, but for `fixed` leaves; what is not negative, as a variance, stays so."""
    result = []
    for n, value in enumerate(values):
        noise = np.random.default_rng(500 + n).standard_normal(value.shape) * (
            n not in fixed
        )
        positive = value.dtype.kind == "f" and bool((value >= 0).all())
        moved = (
            value * np.exp(0.3 * noise) + 0.1 * np.abs(noise)
            if positive
            else value + 0.3 * noise
        )
        result.append(np.stack([value, moved, moved]))
    return result


def input_sets(leaves: Sequence[Any]) -> list[Any]:
    """Inputs as they are, twice, and with their numbers in another order. What has two values, as a mask, stays."""
    rng = np.random.default_rng(7)
    result = []
    for leaf in leaves:
        if is_key(leaf):
            result.append(one_set(leaf))
            continue
        value = other = np.asarray(leaf, wide(leaf.dtype))
        if value.dtype.kind in "fc" and value.size > 1 and np.ptp(np.abs(value)) == 0:
            other = value + 0.5 * rng.standard_normal(value.shape)
        elif len(np.unique(value)) > 2:
            other = rng.permutation(value.reshape(-1)).reshape(value.shape)
        result.append(np.stack([value, value, other]))
    return result


def weights_of(outputs: Sequence[Any]) -> list[np.ndarray]:
    """A weight for each number of the outputs: their weighted sum is what is differentiated."""
    return [
        np.random.default_rng(90 + n).standard_normal(a.shape)[None]
        for n, a in enumerate(outputs)
    ]


def varied(inputs: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Other inputs of the same kind: the first example alone, and a shorter second axis."""
    leaves = [a for a in jax.tree.leaves(inputs) if not is_key(a)]
    firsts = {a.shape[0] for a in leaves if a.ndim}
    if len(firsts) == 1 and max(firsts) > 1:
        yield (
            "a batch of one",
            jax.tree.map(lambda a: a if is_key(a) or not a.ndim else a[:1], inputs),
        )
    seconds = {
        a.shape[1]
        for a in leaves
        if a.ndim > 2 or (a.ndim == 2 and a.dtype.kind in "iu")
    }
    if len(seconds) == 1 and max(seconds) > 2:
        (length,) = seconds

        def cut(a: Any) -> Any:
            return (
                a[:, : length - 1]
                if not is_key(a) and a.ndim > 1 and a.shape[1] == length
                else a
            )

        yield "another length", jax.tree.map(cut, inputs)


def largest(
    wanted: Sequence[np.ndarray],
    own: Sequence[np.ndarray],
    among: Sequence[np.ndarray] = (),
) -> float:
    """The largest difference of arrays, of each set relative to its largest magnitude; infinity for other shapes.

    The largest magnitude `among` some arrays counts a thousandth, so that rounding of a gradient that is 0 is none.
    """
    floor, most = (
        max((np.abs(a).max(initial=0) for a in among), default=0.0) * 1e-3,
        0.0,
    )
    for a, b in zip(wanted, own, strict=True):
        if a.shape[1:] != b.shape[1:]:
            return float("inf")
        axes = tuple(range(1, a.ndim))
        if a.dtype.kind in "fc":
            sizes, difference = (
                np.maximum(np.abs(a).max(axes, initial=0), floor),
                np.abs(a - b).max(axes, initial=0),
            )
            errors = np.where(sizes > 0, difference / sizes, difference > 0)
            errors = np.where(np.isnan(difference), np.inf, errors)
            comparable = np.broadcast_to(np.isfinite(a).all(axes), errors.shape)
            most = max(most, float(errors[comparable].max(initial=0)))
        else:
            most = max(most, float((a != b).any()))
    return most

"""A model: parameters, a function of them, and the modes in which it is called."""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from .layouts import Leaf
from .locations import innermost

EVAL, TRAIN, CALL = "eval", "train", "call"  # a model is evaluated, trained, or has one mode alone


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

    #: The framework whose file formats can hold the model; empty for none.
    framework = ""
    #: Whether the function takes its inputs as a tuple, the mode, and the keywords of the mode, as that of a framework.
    takes_mode = False
    #: A class of programs, in the place of `TracedProgram`.
    programs: Callable[..., Any] | None = None
    #: What makes the framework's own module of parameters and a state, for its file formats.
    whole: Any = None
    #: The paths of the leaves of the state; None where its pytree tells them.
    state_paths: Sequence[str] | None = None
    #: A sentence on what may be wrong if a call fails or its outputs have other shapes; empty for none.
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
        self.name, self.params, self.state, self.make, self.optimizer = name, params, state, make, optimizer
        self.modes = (EVAL, TRAIN) if train is not None or eval is not None else (CALL,)
        self.keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}
        self.made_at = innermost(traceback.extract_stack())
        self._function, self._inputs, self._outputs = function, inputs, outputs
        if not any(map(is_float, jax.tree.leaves(params))):
            raise InputError(f"{name} has no parameter: expected a pytree with arrays of floating-point numbers.")

    def __call__(self, params: Any, state: Any, inputs: tuple[Any, ...], mode: str) -> tuple[Any, Any]:
        """The outputs and the new state, for the shared inputs."""
        given, keywords = self.given(inputs), self.keywords[mode]
        if self.takes_mode:
            result = self._function(params, state, given, mode, keywords)
        elif self.state is None:
            result = self._function(params, *given, **keywords), None
        else:
            result = self._function(params, state, *given, **keywords)
            if not isinstance(result, tuple) or len(result) != 2:
                raise InputError(f"{self.name} has a state: its function has to return (outputs, state).")
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
        reference.name, candidate.name = f"{reference.name} (reference)", f"{candidate.name} (candidate)"
    return reference, candidate


def is_float(leaf: Any) -> bool:
    """Whether a leaf is an array of real or complex numbers."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def in_dtypes_of(tree: Any, values: Sequence[Any]) -> list[np.ndarray]:
    """Values in the dtypes of the floating-point leaves of a tree."""
    leaves = filter(is_float, jax.tree.leaves(tree))
    return [np.asarray(value, leaf.dtype) for value, leaf in zip(values, leaves, strict=True)]


def leaves_of(tree: Any) -> tuple[list[Leaf], list[np.ndarray], Callable[[list[Any]], Any]]:
    """The leaves of floating-point numbers, their values in float64, and a function that puts others in their place."""
    everything, structure = jax.tree_util.tree_flatten_with_path(tree)
    real = [(keys, leaf) for keys, leaf in everything if is_float(leaf)]
    leaves = [Leaf(path_of(keys), tuple(leaf.shape), number=n) for n, (keys, leaf) in enumerate(real)]
    values = [np.asarray(leaf) for _, leaf in real]
    values = [value.astype(np.complex128 if value.dtype.kind == "c" else np.float64) for value in values]

    def rebuild(new: list[Any]) -> Any:
        rest = iter(new)
        return jax.tree.unflatten(structure, [next(rest) if is_float(leaf) else leaf for _, leaf in everything])

    return leaves, values, rebuild


def path_of(keys: tuple[Any, ...]) -> str:
    """The keys on the way to a leaf, joined by slashes, without those of a variable's box."""
    names = [str(next(getattr(key, n) for n in ("key", "idx", "name") if hasattr(key, n))) for key in keys]
    while len(names) > 1 and names[-1] in ("value", "raw_value"):
        names.pop()
    return "/".join(names)

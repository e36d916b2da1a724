"""What a catalogue of a framework's parts is made of: its rows, and their inputs.

A row is a small function that uses one part as the framework's documentation does. Its
name says in words what it uses.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..observing import Call, Example

#: Sizes, no two of which are equal.
BATCH, STEPS, FEATURES, UNITS = 3, 4, 5, 6

Register = Callable[[Callable[..., Any]], Callable[..., Any]]


class Catalogue:
    """The parts of one framework that a snapshot looks at.

    Its decorators add rows, each with its name in words.
    """

    def __init__(self, *modules: str) -> None:
        self.modules = modules  # whose public functions' arguments are kept
        #: Functions that make what is looked at, by the name of the row.
        self.rows: dict[str, Callable[[], Example | Call]] = {}

    def row(self, name: str) -> Register:
        """Add the decorated function, which makes an `Example` or a `Call`."""

        def register(make: Callable[[], Example | Call]) -> Callable[[], Any]:
            assert name not in self.rows, f"two rows have the name {name}"
            self.rows[name] = make
            return make

        return register

    def function(self, name: str, *arrays: Any) -> Register:
        """Add the decorated function of these arrays.

        Its results are compared, and their gradient by the first array.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            first, *others = arrays
            self.row(name)(lambda: Example(function, first, tuple(others)))
            return function

        return register

    def call(self, name: str) -> Register:
        """Add the decorated function, which is called as it is.

        The arrays, numbers and texts of its result are compared.
        """

        def register(function: Callable[[], Any]) -> Callable[[], Any]:
            self.row(name)(lambda: Call(function, counted=False))
            return function

        return register

    def mistake(self, name: str) -> Register:
        """Add the decorated function, which has to raise; the exception's class is
        compared.
        """

        def register(function: Callable[[], Any]) -> Callable[[], Any]:
            self.call(name)(partial(error_of, function))
            return function

        return register


def error_of(function: Callable[[], Any]) -> str:
    """The class of the exception that a function raises, or "no error"."""
    try:
        function()
    except Exception as error:  # a framework may raise any
        return type(error).__name__
    return "no error"


def normal(*shape: int, seed: int = 0) -> jax.Array:
    """Random numbers that are no zeros and no ones."""
    generator = np.random.default_rng([seed, *shape])
    return jnp.asarray(generator.standard_normal(shape), "float32")


def filled(tree: Any) -> Any:
    """A tree with fixed random numbers in its floating-point arrays.

    What a framework draws changes no result then. No two arrays are alike, and an array
    does not depend on names, nor on arrays of other shapes.
    """
    arrays_of_shape: Counter[tuple[int, ...]] = Counter()

    def fill(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, np.floating):
            return leaf
        shape = np.shape(leaf)
        arrays_of_shape[shape] += 1
        numbers = normal(*shape, seed=arrays_of_shape[shape])
        return jnp.asarray(numbers, leaf.dtype)

    return jax.tree.map(fill, tree)


def paths_in(tree: Any) -> str:
    """The paths of the leaves of a tree, as text."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    paths = [jax.tree_util.keystr(path) for path, _ in leaves]
    return ", ".join(paths)


#: Inputs of the rows.
KEY = jax.random.key(0)
SEQUENCES = normal(BATCH, STEPS, FEATURES)
FRAMES = normal(BATCH, FEATURES)
CARRY = normal(BATCH, UNITS)
MEMORY = normal(BATCH, UNITS, seed=1)  # of an LSTM cell
LENGTHS = np.array([1, 4, 2])
TOKENS = np.array([[0, 2], [3, 1]])
CAUSAL = jnp.tri(STEPS, dtype=bool)  # (query, key)
#: Nobody may be attended to by the second query.
ONE_ROW_MASKED = jnp.array(
    [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], bool
)
#: So far from zero that sums in bfloat16 fail.
HALF = jnp.asarray(100 + SEQUENCES, jnp.bfloat16)

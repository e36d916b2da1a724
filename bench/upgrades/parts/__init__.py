"""The frameworks' own parts as people use them: a table of small programs for each framework.

One more is a row of `PARTS` in the framework's module; a name in its `SIGNATURES` keeps the arguments of something.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import jax
import numpy as np

from ....common.compat import enable_x64
from ..files import Kept
from ..functions import Called, Example, look_at
from ..noticing import survived
from ..record import Subject

#: Sizes: batch, time, inputs and features.
B, T, D, H = 3, 4, 5, 6
Parts = Mapping[str, Callable[[], Example | Called]]
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def look_at_parts(subject: Subject, kept: Kept) -> None:
    """The facts of a framework's own parts. What fails is a problem of its own, and the others go on."""
    module = import_module(f".{subject.framework}", __name__)
    look_at(subject, kept, module.PARTS)
    for name in module.SIGNATURES:
        with survived(subject, "arguments of", name):
            subject.signatures[name] = arguments_of(name)


def arguments_of(name: str) -> dict[str, str]:
    """The arguments of something, by its dotted name, with the defaults as text; "" for none."""
    module, *rest = name.split(".")
    thing: Any = import_module(module)
    for part in rest:
        thing = getattr(thing, part, None) or import_module(f"{thing.__name__}.{part}")
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    taken = inspect.signature(thing.__init__ if isinstance(thing, type) else thing).parameters  # not of a metaclass
    arguments = [argument for argument in taken.values() if argument.name != "self"]
    return {stars.get(a.kind, "") + a.name: "" if a.default is a.empty else text_of(a.default) for a in arguments}


def text_of(default: Any) -> str:
    """A default as text that is the same in each process."""
    if callable(default) and hasattr(default, "__qualname__"):
        return f"{getattr(default, '__module__', '')}.{default.__qualname__}"
    return _ADDRESS.sub("", repr(default))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers that are no zeros and no ones."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")


def of_shapes(shapes: Any) -> Any:
    """A tree of random arrays of these shapes and dtypes; those of whole numbers are zeros."""

    def fill(leaf: Any) -> Any:
        return normal(*leaf.shape) if leaf.dtype == "float32" else np.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(fill, shapes)


def zeros_under_x64(make: Callable[[], Any]) -> Callable[[], Any]:
    """A call that returns zeros in the dtypes in which something makes its arrays if 64 bits are enabled."""

    def call() -> Any:
        with enable_x64(True):
            shapes = jax.eval_shape(make)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    return call


def donated(call: Callable[[Any], Any]) -> Callable[[], Any]:
    """A call that returns whether something donates the array that it is given."""

    def check() -> Any:
        array = jax.numpy.asarray(normal(B, H))
        call(array)
        return np.asarray(array.is_deleted())

    return check


def without_zeros(tree: Any) -> Any:
    """A tree whose arrays of zeros or ones alone are random, so that they count."""

    def fill(leaf: Any) -> Any:
        same = hasattr(leaf, "dtype") and leaf.dtype == "float32" and np.ptp(np.asarray(leaf)) == 0
        return 1 + normal(*leaf.shape) / 4 if same else leaf

    return jax.tree.map(fill, tree)

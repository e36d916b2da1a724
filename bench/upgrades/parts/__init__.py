"""The frameworks' own parts as people use them: a table of small programs for each framework.

One more is a row of `PARTS` in the framework's module, or an entry of a row that has several in a dictionary. The
arguments and defaults of all that the modules in `PUBLIC` offer are kept, too.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import jax
import numpy as np

from ....common.compat import enable_x64
from ..files import Kept
from ..functions import Called, Example, Ran, look_at
from ..noticing import survived
from ..record import Subject

#: Sizes: batch, time, inputs and features.
B, T, D, H = 3, 4, 5, 6
Parts = Mapping[str, Callable[[], Example | Called]]
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def look_at_parts(subject: Subject, kept: Kept) -> None:
    """The facts of a framework's own parts. What fails is a problem of its own, and the others go on."""
    with survived(subject, "import"):
        module = import_module(f".{subject.framework}", __name__)
        look_at(subject, kept, module.PARTS)
        for name in module.PUBLIC:
            with survived(subject, "arguments of", name):
                subject.signatures |= dict(signatures_of(name))


def signatures_of(module: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The arguments of all functions, classes and their own methods that a module offers."""
    for name, thing in vars(import_module(module)).items():
        home = getattr(thing, "__module__", None) or ""
        if name.startswith("_") or not callable(thing) or home.partition(".")[0] != module.partition(".")[0]:
            continue
        yield f"{module}.{name}", arguments_of(thing)
        for method, function in vars(thing).items() if isinstance(thing, type) else ():
            if inspect.isfunction(function) and (not method.startswith("_") or method == "__call__"):
                yield f"{module}.{name}.{method}", arguments_of(function)


def arguments_of(thing: Any) -> dict[str, str]:
    """The arguments of a function or a class, with the defaults as text; "" for none."""
    try:
        taken = inspect.signature(thing.__init__ if isinstance(thing, type) else thing).parameters  # not of a metaclass
    except (TypeError, ValueError):  # of C
        return {}
    arguments = [argument for argument in taken.values() if argument.name != "self"]
    return {_STARS.get(a.kind, "") + a.name: "" if a.default is a.empty else text_of(a.default) for a in arguments}


def text_of(default: Any) -> str:
    """A default as text that is the same in each process."""
    if callable(default) and hasattr(default, "__qualname__"):
        return f"{getattr(default, '__module__', '')}.{default.__qualname__}"
    if isinstance(default, set | frozenset):
        return f"{{{', '.join(sorted(map(text_of, default)))}}}"
    return _ADDRESS.sub("", repr(default))


def named(name: str) -> Any:
    """What a dotted name stands for.

    >>> named("jax.nn.relu") is jax.nn.relu
    True
    """
    module, *rest = name.split(".")
    thing: Any = import_module(module)
    for part in rest:
        thing = getattr(thing, part)
    return thing


def each(*names: str) -> Callable[[Any], dict[str, Any]]:
    """A function that returns the results of several functions of one array, by their dotted names."""
    return lambda array: {name: named(name)(array) for name in names}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers that are no zeros and no ones."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")


def filled(tree: Any) -> Any:
    """A tree of fixed random arrays in the shapes and dtypes of another, so that what is drawn changes no result.

    No two arrays are alike, and an array does not depend on names, nor on arrays of other shapes. Whole numbers and
    keys stay; where there are shapes alone, they are zeros.
    """
    before: Counter[tuple[int, ...]] = Counter()

    def fill(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") or not jax.numpy.issubdtype(leaf.dtype, np.floating):
            return np.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        shape = np.shape(leaf)
        before[shape] += 1
        return jax.numpy.asarray(normal(*shape, seed=before[shape]), leaf.dtype)

    return jax.tree.map(fill, tree)


def of_array(function: Callable[..., Any], *inputs: Any) -> Callable[[], Example]:
    """A row of a function of arrays, the first of which is differentiated."""
    return lambda: Example(function, normal(B, H), inputs)


def drawn_by(draw: Callable[[Any], Any]) -> Callable[[], Example]:
    """A row of what is drawn from a key."""

    def make() -> Example:
        return Example(lambda a: a, normal(B, H), drawn=jax.jit(draw)(jax.random.key(1)))

    return make


def called(call: Callable[[], Any]) -> Callable[[], Called]:
    """A row of a call that is made as it is."""
    return lambda: Called(lambda _: call)


def dtypes(make: Callable[[], Any], *, x64: bool = False) -> Callable[[], Called]:
    """A row of the dtypes in which something makes its arrays, which it returns as zeros."""

    def call() -> Any:
        with enable_x64(x64):
            shapes = jax.eval_shape(make)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    return called(call)


def donated(jit: Callable[[Any], Callable[[Any], Any]]) -> Callable[[], Called]:
    """A row of whether a compiled function donates the array that it is given."""

    def make(ran: Ran) -> Callable[[], Any]:
        call = jit(ran(jax.numpy.tanh))

        def check() -> Any:
            array = jax.numpy.asarray(normal(B, H))
            call(array)
            return np.asarray(array.is_deleted())

        return check

    return lambda: Called(make)


def refused(**calls: Callable[[], Any]) -> Callable[[], Called]:
    """A row of which mistakes are refused, by an exception of any kind."""

    def is_refused(call: Callable[[], Any]) -> np.ndarray:
        try:
            call()
        except Exception:  # each release may raise another
            return np.asarray(True)
        return np.asarray(False)

    return called(lambda: {what: is_refused(call) for what, call in calls.items()})


def letters(*texts: object) -> list[np.ndarray]:
    """Texts as arrays of their characters."""
    return [np.frombuffer(str(text).encode(), np.uint8) for text in texts]

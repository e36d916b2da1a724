"""The frameworks' own parts as people use them: small programs, most of them a line of
Python in a table of text.

The line is the name of its program, so that one more is one line. `PARTS` of a
framework's module has all its rows; the arguments and defaults of all that the modules
in `PUBLIC` offer are kept, too.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial, reduce  # noqa: F401  (in tables, as all names of this module)
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from ....common.compat import enable_x64
from ..noticing import survived
from ..observing import Call, Example, Rows, TraceCounter, bytes_of, look_at
from ..record import Subject
from ..signatures import signatures_of
from ..snapshot_file import ArrayStore

#: Sizes: batch, time, inputs and features.
B, T, D, H = 3, 4, 5, 6


def look_at_parts(subject: Subject, store: ArrayStore) -> None:
    """The facts of a framework's own parts.

    What fails is a problem of its own, and the others go on.
    """
    with survived(subject, "import"):
        module = import_module(f".{subject.framework}", __name__)
        look_at(subject, store, module.PARTS)
        for name in module.PUBLIC:
            with survived(subject, f"arguments of {name}"):
                subject.signatures |= dict(signatures_of(name))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers that are no zeros and no ones."""
    return (
        np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")
    )


X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)
KEY, LENGTHS, INDICES, SOME = (
    jax.random.key(0),
    np.array([1, 4, 2]),
    np.array([[0, 2], [3, 1]]),
    np.abs(X) < 1.5,
)
BACKWARD = {"reverse": True, "keep_order": True, "return_carry": True}


def filled(tree: Any) -> Any:
    """A tree of fixed random arrays in the shapes and dtypes of another, so that what
    is drawn changes no result.

    No two arrays are alike, and an array does not depend on names, nor on arrays of
    other shapes. Whole numbers and keys stay; where there are shapes alone, they are
    zeros.
    """
    before: Counter[tuple[int, ...]] = Counter()

    def fill(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, np.floating):
            return (
                np.zeros(leaf.shape, leaf.dtype)
                if isinstance(leaf, jax.ShapeDtypeStruct)
                else leaf
            )
        shape = np.shape(leaf)
        before[shape] += 1
        return jnp.asarray(normal(*shape, seed=before[shape]), leaf.dtype)

    return jax.tree.map(fill, tree)


def half() -> dict[str, Any]:
    """An `x` in bfloat16, so far from 0 that sums in it fail."""
    return {"x": jnp.asarray(100 + normal(B, T, D), "bfloat16")}


def called(call: Callable[[], Any], *, counted: bool = True) -> Call:
    """A call that is made as it is.

    It is made once where what it costs does not count.
    """
    return Call(call, counted=counted)


def deletes(call: Callable[[Any], Any]) -> Callable[[], Any]:
    """A function that says whether a call deletes the array that it is given, since it
    donates it.
    """

    def check() -> Any:
        array = jnp.asarray(normal(B, H))
        call(array)
        return np.asarray(array.is_deleted())

    return check


def policies_of(checkpoint: Callable[..., Any]) -> Call:
    """The bytes that each policy of a `jax.checkpoint` keeps; both named values and
    both products have other sizes.
    """
    matrices, matrix, policies = normal(B, H, T), normal(T, D), jax.checkpoint_policies

    def forward(x: Any) -> Any:
        first = checkpoint_name(jnp.sin(jnp.einsum("bi,bij->bj", x, matrices)), "first")
        return jnp.sin(checkpoint_name(jnp.sin(first @ matrix), "second"))

    plain = (
        "everything_saveable",
        "nothing_saveable",
        "dots_saveable",
        "dots_with_no_batch_dims_saveable",
    )
    of_names = (
        "save_only_these_names",
        "save_any_names_but_these",
        "save_anything_except_these_names",
    )
    some = {name: getattr(policies, name) for name in plain}
    some |= {name: getattr(policies, name)("first") for name in of_names}
    some["both"] = policies.save_from_both_policies(
        policies.dots_saveable, some["save_only_these_names"]
    )

    def kept(policy: Any) -> np.ndarray:
        _, pull = jax.eval_shape(
            partial(jax.vjp, checkpoint(forward, policy=policy)), normal(B, H)
        )
        return np.asarray(bytes_of(pull))

    return called(
        lambda: {name: kept(policy) for name, policy in some.items()}, counted=False
    )


def letters(*texts: object) -> list[np.ndarray]:
    """Texts as arrays of their characters."""
    return [np.frombuffer(str(text).encode(), np.uint8) for text in texts]


def paths(tree: Any) -> list[np.ndarray]:
    """The paths of the leaves of a tree."""
    return letters(
        *(
            jax.tree_util.keystr(path)
            for path, _ in jax.tree_util.tree_leaves_with_path(tree)
        )
    )


def lines_of(text: str) -> list[str]:
    """The programs of a table."""
    return text.strip().splitlines()


def rows(make: Callable[[str], Example | Call]) -> Callable[[str], Rows]:
    """Makes a row for each line of a table, which is its name."""
    return lambda text: {line: partial(make, line) for line in lines_of(text)}


class Lines:
    """Programs in tables of text, each a line of Python, with the names of a module,
    some more, and those of this.
    """

    def __init__(self, names: dict[str, Any], **more: Any):
        self.names, self.more = names, more

    def value(self, line: str, **more: Any) -> Any:
        """The value of a line, in which more names are known."""
        return eval(
            compile(line, __file__, "eval"),
            {**globals(), **self.names, **self.more, **more},
        )

    def values(self, text: str, **more: Any) -> dict[str, Any]:
        return {line: self.value(line, **more) for line in lines_of(text)}

    def each(self, module: str, names: str) -> dict[str, Any]:
        """The functions of a module by their dotted names, of names as in "relu
        linalg.norm".
        """
        found = {}
        for name in names.split():
            with suppress(AttributeError):  # another release may lack it
                found[f"{module}.{name}"] = self.value(f"{module}.{name}")
        return found

    def function(self, line: str, *names: str) -> Callable[..., Any]:
        """The function of a line, whose arguments have names in it."""
        return lambda *values: self.value(line, **dict(zip(names, values, strict=True)))

    def model(
        self, line: str, x: Any, **more: Any
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """A model, inputs and options of a line as "nn.RNN(cell), X, dict(mask=MASK)";
        x are the inputs by default.
        """
        value = self.value(line, **more)
        model, *inputs = value if isinstance(value, tuple) else (value, x)
        options = inputs.pop() if isinstance(inputs[-1], dict) else {}
        return model, tuple(inputs), options

    def traced(self, **arrays: Any) -> Callable[[str], Rows]:
        """Makes rows of functions of arrays, the first of which is differentiated."""
        first, *others = arrays.values()
        return rows(
            lambda line: Example(self.function(line, *arrays), first, tuple(others))
        )

    def calls(self, text: str) -> Rows:
        """Rows of calls that are made as they are, whose numbers count as arrays,
        too.
        """
        return rows(
            lambda line: called(lambda: jax.tree.map(np.asarray, self.value(line)))
        )(text)

    def called(self, text: str) -> Rows:
        """Rows of functions that are called as they are, in which `ran` counts what it
        traces.
        """

        def make(line: str) -> Call:
            traces = TraceCounter()
            return Call(self.value(line, ran=traces.counted), traces)

        return rows(make)(text)

    def compiled(
        self, names: Callable[[], dict[str, Any]], jit: Any = jax.jit
    ) -> Callable[[str], Any]:
        """Makes a row of all lines of a table, compiled, in which more names are
        known.
        """
        return lambda text: lambda: called(jit(lambda: self.values(text, **names())))

    def dtypes(self, text: str) -> Rows:
        """Rows of the dtypes of the arrays that a line makes, without and with x64."""

        def zeros(line: str, x64: bool) -> Any:
            with enable_x64(x64):
                made = jax.eval_shape(lambda: self.value(line))
            return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), made)

        made = rows(
            lambda line: called(
                lambda: [zeros(line, x64) for x64 in (False, True)], counted=False
            )
        )(text)
        return {f"dtypes of {line}": make for line, make in made.items()}

    def refused(self, text: str) -> Call:
        """Which lines of a table, which are mistakes, are refused, by an exception of
        any kind.
        """

        def is_refused(line: str) -> np.ndarray:
            try:
                self.value(line)
            except Exception as error:  # each release may raise another
                if isinstance(error, SyntaxError) or (
                    getattr(error, "name", None) and isinstance(error, NameError)
                ):
                    raise  # of the table itself
                return np.asarray(True)
            return np.asarray(False)

        return called(
            lambda: {line: is_refused(line) for line in lines_of(text)}, counted=False
        )

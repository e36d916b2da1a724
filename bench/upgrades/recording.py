"""The facts of a model or a function of a user's own, whatever it takes and returns.

It is traced, differentiated and evaluated in float64 where that can be done. Where it
cannot, less is recorded, and the reason is kept.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax.extend.core import jaxpr_as_fun

from ...common.errors import InputError
from ...common.port.compilation import compiled_quickly, jit_without_optimization
from ...common.program import equations, is_key
from ...common.program.model import CALL, Model, is_float
from .noticing import noticed, reason_of, survived
from .observing import pulled_back
from .record import ARGUMENTS, Observation, Program, Subject
from .snapshot_file import ArrayStore
from .trails import evaluated

#: A program with more equations is not compiled twice to see how it is rounded.
MOST_COMPILED_TWICE = 1000
#: So many units in the last place of the largest number may be rounding between two
#: runs of one function on one machine.
MOST_ROUNDED = 1000
_LACKS = re.compile(r"missing \d+ required [a-z -]*arguments?: '(\w+)'")


@dataclass(frozen=True)
class UserCall:
    """A call of a user's model or function.

    Attributes:
        function: of the arguments; it may return anything.
        arguments: pytrees. Their floating-point arrays are traced.
        names: of the arguments.
        differentiated: by so many of the first arguments it is differentiated.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    names: Sequence[str]
    differentiated: int


def subject_of(
    thing: Any,
    arguments: tuple[Any, ...],
    store: ArrayStore,
    *,
    name: str = "",
    source: str = "",
) -> Subject:
    """The facts of a model or a function of a user's own.

    Args:
        thing: a `trigru.parity.Model`, or a callable pytree with arrays, such as a
            module, which is differentiated by its parameters; or a function, which is
            differentiated by the floating-point arrays of all its arguments.
        arguments: what it is called with.
        store: keeps the arrays of its facts.
        name: what it is called; by default, by its own name.
        source: where it is from.

    Raises:
        InputError: it is called in another way.
    """
    if hasattr(thing, "init_with_output"):
        raise InputError(
            f"{type(thing).__name__} is of linen: pass its apply, then its variables, "
            "then the inputs."
        )
    own_name = getattr(thing, "__name__", type(thing).__name__)
    name = name or getattr(thing, "name", None) or own_name
    subject = Subject(name, source or name)
    for mode, call in _calls_of(thing, arguments):
        with survived(subject, mode), noticed(subject, "call"):
            record(subject.observe(mode), store, call)
    names = _names_of_arguments(thing, len(arguments))
    arrays, texts = _arrays_and_texts(_named_arguments(names, arguments))
    given = subject.observe(ARGUMENTS)
    given.results, given.texts = store.keep_all(arrays), texts
    return subject


def check_works(subject: Subject) -> None:
    """Raise an InputError if a user's model or function fails by itself."""
    if not subject.problems:
        return
    problem = next(iter(subject.problems.values()))
    lacking = _LACKS.search(problem)
    advice = ""
    if lacking:
        call = f"lambda *inputs: model(*inputs, {lacking[1]}=...)"
        advice = f". Pass a function that has it: {call}."
    raise InputError(f"{subject.name} fails: {problem}{advice}")


def record(observation: Observation, store: ArrayStore, call: UserCall) -> None:
    """Add all that can be had of a call; what cannot is among `lacks`."""
    for with_gradient in (True, False):
        try:
            _record_traced(observation, store, call, with_gradient=with_gradient)
            return
        except Exception as error:  # what JAX does not trace, it refuses in many ways
            lacking = "gradient" if with_gradient else "trace"
            reasons = observation.lacks
            reasons[lacking] = reason_of(error)
            if isinstance(error, jax.errors.JAXTypeError):
                break  # Python asks for a number: without a gradient, it does, too
    reasons.setdefault("trace", reasons.pop("gradient", ""))
    _record_as_it_is(observation, store, call)


class _Arrays:
    """A call as a function of its floating-point arrays that returns arrays alone.

    What the function returns beside them is kept as it is traced.
    """

    def __init__(self, call: UserCall):
        self._call = call
        self._leaves, self._structure = jax.tree.flatten(call.arguments)
        params = jax.tree.leaves(call.arguments[: call.differentiated])
        floats = [n for n, leaf in enumerate(self._leaves) if is_float(leaf)]
        self._places = floats
        self.param_count = sum(map(is_float, params))
        self.reals = [self._leaves[n] for n in floats]
        self.texts: dict[str, str] = {}
        self.names: list[str] = []
        self.kept_bytes: int | None = None

    def names_of_params(self) -> list[str]:
        """The names of the arrays by which the call is differentiated."""
        names: list[str] = []
        named = _named_arguments(self._call.names, self._call.arguments)
        for name, leaf in named:
            if is_float(leaf):
                names.append(name)
        return names[: self.param_count]

    def results(self, reals: Sequence[Any]) -> list[Any]:
        """The arrays that the call returns, and those that it changes in place."""
        arrays, self.texts = _arrays_and_texts(self.run(reals))
        self.names = list(arrays)
        return [jnp.asarray(array) for array in arrays.values()]

    def with_gradient(self, reals: list[Any]) -> tuple[list[Any], list[Any]]:
        """The same arrays, and the gradient of half the sum of their squares."""
        params, inputs = reals[: self.param_count], reals[self.param_count :]

        def results_of(params: list[Any]) -> list[Any]:
            return self.results([*params, *inputs])

        results, gradient, self.kept_bytes = pulled_back(results_of, params)
        return results, gradient

    def run(self, reals: Sequence[Any]) -> list[tuple[str, Any]]:
        """All that the call returns or changes in place, by name."""
        leaves = [_copied(leaf) for leaf in self._leaves]
        for place, real in zip(self._places, reals, strict=True):
            leaves[place] = real
        arguments = jax.tree.unflatten(self._structure, leaves)
        before = dict(_named_arguments(self._call.names, arguments))

        result = self._call.function(*arguments)
        named = list(_named("result", result))
        for name, leaf in _named_arguments(self._call.names, arguments):
            if before.get(name) is not leaf:
                named.append((f"result: {name} afterwards", leaf))
        return named

    def updates(self, results: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """By how much results differ from the arguments of their names and shapes."""
        updates: dict[str, np.ndarray] = {}
        for argument_path, leaf in _paths_of_arguments(self._call.arguments):
            if not is_float(leaf):
                continue
            for name, result in results.items():
                is_same_leaf = argument_path and argument_path in name
                if not is_same_leaf or not _are_alike(result, leaf):
                    continue
                update = np.asarray(result, "float64") - np.asarray(leaf, "float64")
                if update.any():
                    updates[f"result: update of {name}"] = update.astype("float32")
        return updates


def _record_traced(
    observation: Observation,
    store: ArrayStore,
    call: UserCall,
    *,
    with_gradient: bool,
) -> None:
    arrays = _Arrays(call)
    function = arrays.with_gradient if with_gradient else arrays.results
    closed = jax.make_jaxpr(function)(arrays.reals)
    names = list(arrays.names)
    if with_gradient:
        for name in arrays.names_of_params():
            names.append(f"gradient by {name}")
    number_of_equations = sum(1 for _ in equations(closed.jaxpr))
    observation.program = Program(
        equations=number_of_equations, kept_bytes=arrays.kept_bytes
    )

    exact: dict[str, np.ndarray] = {}
    try:
        evaluation = evaluated(closed, arrays.reals, store)
    except Exception as error:  # primitives of others may fail in any way
        observation.lacks["evaluation"] = reason_of(error)
    else:
        observation.trail = evaluation.trail
        observation.random_bits = evaluation.random_bits
        exact = dict(zip(names, evaluation.outputs, strict=True))
        observation.exact_results = store.keep_all(exact)
        names = arrays.names  # compiling the gradient, too, takes much longer

    def run(*reals: Any) -> list[Any]:
        return jaxpr_as_fun(closed)(*reals)[: len(names)]

    outputs = jit_without_optimization(run)(*arrays.reals)
    results = dict(zip(names, outputs, strict=True))
    observation.results = store.keep_all(results)
    observation.texts = arrays.texts
    params = dict(zip(arrays.names_of_params(), arrays.reals, strict=False))
    of_results = {name: results[name] for name in arrays.names}
    observation.leaves = _dtypes_and_shapes(params, "parameter ")
    observation.leaves |= _dtypes_and_shapes(of_results)

    if observation.random_bits:  # the evaluation has other draws
        if number_of_equations > MOST_COMPILED_TWICE:
            return
        with compiled_quickly():
            outputs = jax.jit(run)(*arrays.reals)
        exact = dict(zip(names, outputs, strict=True))
    if exact:
        observation.rounding = _distances(results, exact)


def _record_as_it_is(
    observation: Observation, store: ArrayStore, call: UserCall
) -> None:
    arrays = _Arrays(call)
    results, texts = _arrays_and_texts(arrays.run(arrays.reals))
    results |= arrays.updates(results)
    observation.results = store.keep_all(results)
    observation.texts = texts
    observation.leaves = _dtypes_and_shapes(results)

    with compiled_quickly():
        again, _ = _arrays_and_texts(arrays.run(arrays.reals))
    again |= arrays.updates(again)
    observation.rounding = _distances(results, again)
    for name, distance in observation.rounding.items():
        if distance > _most_rounding(results[name]):
            # the first run changed what the function holds, as a model that it trains
            observation.rounding[name] = 0.0


def _most_rounding(array: Any) -> float:
    """The largest distance between two runs that may be rounding."""
    wide = complex if jnp.iscomplexobj(array) else float
    magnitudes = np.abs(np.asarray(array, wide))
    largest = np.max(magnitudes, initial=0, where=np.isfinite(magnitudes))
    return float(MOST_ROUNDED * ml_dtypes.finfo(array.dtype).eps * largest)


def _calls_of(thing: Any, arguments: tuple[Any, ...]) -> Iterator[tuple[str, UserCall]]:
    """The calls of a user's model or function, by their mode."""
    names = _names_of_arguments(thing, len(arguments))
    if isinstance(thing, Model):
        for mode in thing.modes:

            def apply(params: Any, *inputs: Any, mode: str = mode) -> Any:
                outputs, _ = thing(params, thing.state, inputs, mode)
                return outputs

            with_params = (thing.params, *arguments)
            yield mode, UserCall(apply, with_params, ["params", *names], 1)
    elif any(map(_is_array, jax.tree.leaves(thing))):
        own_name = type(thing).__name__
        with_thing = (thing, *arguments)
        yield CALL, UserCall(_call_module, with_thing, [own_name, *names], 1)
    else:
        yield CALL, UserCall(thing, arguments, names, len(arguments))


def _call_module(module: Any, *inputs: Any) -> Any:
    return module(*inputs)


def _names_of_arguments(thing: Any, number: int) -> list[str]:
    """What the user's function calls its arguments; else "argument 1"."""
    names: list[str] = []
    try:
        for name, parameter in inspect.signature(thing).parameters.items():
            if parameter.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD:
                names.append(name)
    except (TypeError, ValueError):  # some functions in C have no signature
        names = []
    while len(names) < number:
        names.append(f"argument {len(names) + 1}")
    return names[:number]


def _named_arguments(
    names: Iterable[str], arguments: Iterable[Any]
) -> list[tuple[str, Any]]:
    named: list[tuple[str, Any]] = []
    for name, argument in zip(names, arguments, strict=True):
        named += _named(name, argument)
    return named


def _paths_of_arguments(arguments: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Each leaf with its path, without the argument's name."""
    for argument in arguments:
        yield from _named("", argument)


def _named(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a tree, and of the dataclasses in it, with their paths.

    None stands for a whole result alone; functions are left out.
    """
    if tree is None:
        yield name, tree
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        place = f"{name}{jax.tree_util.keystr(path)}"
        if is_dataclass(leaf) and not isinstance(leaf, type):
            for field in fields(leaf):
                yield from _named(f"{place}.{field.name}", getattr(leaf, field.name))
        elif _is_array(leaf) or not callable(leaf):
            yield place, leaf


def _arrays_and_texts(
    named: Iterable[tuple[str, Any]],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Leaves that are numbers as arrays in JAX's dtypes, and all others as texts."""
    arrays: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for name, leaf in named:
        if _is_array(leaf) and is_key(leaf):
            arrays[name] = jax.random.key_data(leaf)
        elif isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "OSUMmV":
            is_of_jax = is_float(leaf)  # as bfloat16 is
            if is_of_jax:
                arrays[name] = leaf
            else:
                texts[name] = str(leaf.tolist())
        elif isinstance(leaf, np.ndarray | np.generic | bool | int | float | complex):
            arrays[name] = _in_dtype_of_jax(leaf)
        elif _is_array(leaf):
            arrays[name] = leaf
        else:
            texts[name] = _text(leaf)
    return arrays, texts


def _in_dtype_of_jax(number: Any) -> np.ndarray:
    """Numbers in the precision in which JAX computed them: 32 bits, unless it has 64.

    Whole numbers of more than 32 bits stay what they are.
    """
    array = np.asarray(number)
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if array.dtype.kind in "iu" and not np.array_equal(array.astype(dtype), array):
        return array
    return array.astype(dtype)


def _text(leaf: Any) -> str:
    if isinstance(leaf, Enum):
        return f"{type(leaf).__name__}.{leaf.name}"
    if isinstance(leaf, set | frozenset):
        return str(sorted(map(repr, leaf)))
    if leaf is None or isinstance(leaf, str | bytes):
        return str(leaf)
    return f"a {type(leaf).__name__}"


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _copied(leaf: Any) -> Any:
    """A leaf that may be changed or donated without harm to the user's own."""
    if isinstance(leaf, np.ndarray):
        return leaf.copy()
    if isinstance(leaf, jax.Array):
        return leaf.copy() if not is_key(leaf) else jax.random.clone(leaf)
    return leaf


def _are_alike(result: Any, leaf: Any) -> bool:
    return np.shape(result) == np.shape(leaf) and result.dtype == leaf.dtype


def _dtypes_and_shapes(
    arrays: Mapping[str, Any], beginning: str = ""
) -> dict[str, str]:
    leaves: dict[str, str] = {}
    for name, array in arrays.items():
        leaves[beginning + name] = f"{array.dtype}{np.shape(array)}"
    return leaves


def _distances(
    arrays: Mapping[str, Any], others: Mapping[str, Any]
) -> dict[str, float]:
    """How far apart the floating-point arrays of one name and shape are, where they
    are finite.
    """
    distances: dict[str, float] = {}
    for name, array in arrays.items():
        other = others.get(name)
        if other is None or not is_float(array) or np.shape(array) != np.shape(other):
            continue
        wide = complex if jnp.iscomplexobj(array) else float
        with np.errstate(all="ignore"):
            apart = np.abs(np.asarray(array, wide) - np.asarray(other, wide))
        distances[name] = float(np.max(apart, initial=0, where=np.isfinite(apart)))
    return distances

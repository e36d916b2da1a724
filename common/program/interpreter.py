"""The functions that evaluate the equations of a trace: calls are entered, and loops run step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from ..compat import enable_x64
from ..port.compilation import jit_without_optimization
from .rules import IDENTITIES, RULES, at_step, chosen, is_key, keys_of, of_steps

Array = np.ndarray
#: Primitives that call a traced function, and stand for nothing else.
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "checkpoint",
    "remat",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "custom_vmap_call",
)
CALLED = (
    "jaxpr",
    "call_jaxpr",
    "fun_jaxpr",
    "call",
)  # the parameters that may hold the function that is called


@dataclass(frozen=True)
class How:
    """How a trace is evaluated."""

    wide: bool = (
        False  # compute in float64, whatever floating-point dtypes the trace has
    )
    #: Its `step(equation, function, operands, results)` is called after an equation, `enter(equation)` before and
    #: `leave()` after those of the function or loop that it calls. An operand is the very object that was a result
    #: before, an argument or a constant. A scan takes steps apart by `step`.
    observe: Any = None
    constants: Callable[[Array, Any], Array] | None = (
        None  # changes an array, of some type in the trace
    )
    draws: bool = True  # draw random bits; else they are those of 0.25 drawn uniformly from 0 to 1

    def dtype(self, dtype: Any) -> Any:
        """The dtype in which values are computed that have this one in the trace."""
        return wide(dtype) if self.wide else np.dtype(dtype)


def wide(dtype: Any) -> np.dtype[Any]:
    """Float64 for each real dtype, complex128 for each complex one, and any other itself."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.complex128)
    return (
        np.dtype(np.float64) if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype)
    )


def function_of(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    """A function of arrays that evaluates a closed trace. It is made once for each trace, unless one observes it."""
    make = _kept if how.observe is None and how.constants is None else _function
    return make(closed, how)


def _function(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    jaxpr = closed.jaxpr
    values: list[
        Any
    ] = []  # of arguments, constants and literals, then of results, each at a place of its own
    places: dict[Any, int] = {}

    def place(atom: Any) -> int:
        if isinstance(atom, Literal):
            values.append(_constant(atom.val, atom.aval, how))
            return len(values) - 1
        if atom not in places:
            places[atom] = len(values)
            values.append(None)
        return places[atom]

    inputs = slice(len([place(v) for v in jaxpr.invars]))
    for v, constant in zip(jaxpr.constvars, closed.consts, strict=True):
        values[place(v)] = _constant(constant, v.aval, how)
    results = [place(atom) for atom in jaxpr.outvars]
    used, instructions = set(results), []
    for equation in reversed(jaxpr.eqns):  # so that it is known what is used later
        outs = [place(v) for v in equation.outvars]
        if not equation.effects and used.isdisjoint(outs):
            continue
        ins = [place(atom) for atom in equation.invars]
        unused = {*ins, *outs} - used  # after it, so that their memory is free
        used.update(ins)
        function = (
            _observed(equation, how) if how.observe else evaluation(equation, how)
        )
        instructions.append(
            (function, ins, outs, equation.primitive.multiple_results, unused)
        )
    instructions.reverse()

    def run(*operands: Array) -> list[Array]:
        of = values.copy()
        of[inputs] = operands
        for function, ins, outs, several, unused in instructions:
            found = function(*[of[n] for n in ins])
            if several:
                for n, result in zip(outs, found, strict=True):
                    of[n] = result
            else:
                of[outs[0]] = found
            for n in unused:
                of[n] = None
        return [of[n] for n in results]

    return run


_kept = lru_cache(maxsize=4096)(_function)


def evaluation(equation: Any, how: How) -> Callable[..., Any]:
    """The function of an equation's operands."""
    name = equation.primitive.name
    if name == "random_bits" and not how.draws:
        out = equation.outvars[0].aval
        bits = np.full((1, *out.shape), 1 << (8 * out.dtype.itemsize - 2), out.dtype)
        return lambda *_: bits
    if name in CALLS:
        called = next(
            equation.params[param] for param in CALLED if param in equation.params
        )
        return function_of(
            called if hasattr(called, "consts") else _closed(called, ()), how
        )
    if name in _LOOPS:
        return _LOOPS[name](equation, how)
    if any(map(is_key, (*equation.invars, *equation.outvars))):
        return _handed(equation, how)
    if name in IDENTITIES:
        return (
            (lambda *operands: operands)
            if equation.primitive.multiple_results
            else lambda operand, *_: operand
        )
    rule = RULES.get(name)
    function = rule(equation, how.dtype) if rule else _of_implementation(equation, how)
    return function or _handed(equation, how)


def _observed(equation: Any, how: How) -> Callable[..., Any]:
    function, observer = evaluation(equation, how), how.observe

    def step(*operands: Array) -> Any:
        found = function(*operands)
        observer.step(
            equation,
            function,
            operands,
            found if equation.primitive.multiple_results else [found],
        )
        return found

    def enter(*operands: Array) -> Any:
        observer.enter(equation)
        try:
            return function(*operands)
        finally:
            observer.leave()

    return enter if equation.primitive.name in (*CALLS, *_LOOPS) else step


def _constant(value: Any, aval: Any, how: How) -> Any:
    if is_key(aval):
        return keys_of([value])
    array = np.asarray(value, how.dtype(aval.dtype)).reshape(1, *aval.shape)
    return array if how.constants is None else how.constants(array, aval)


#: Once for each trace without constants, so that `function_of` knows it again.
_closed = lru_cache(maxsize=4096)(ClosedJaxpr)


def _of_implementation(equation: Any, how: How) -> Callable[..., Any] | None:
    """The evaluation of the `impl` of a primitive that is not JAX's own; None where JAX has to run it."""
    implementation = getattr(equation.primitive, "impl", None)
    module = (
        getattr(implementation, "__module__", None) or "jax"
    )  # that of a partial is that of its class
    if implementation is None or module.partition(".")[0] in (
        "jax",
        "jaxlib",
        "functools",
    ):
        return None
    avals = [
        jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype)
        for atom in equation.invars
    ]
    closed = jax.make_jaxpr(partial(implementation, **equation.params))(*avals)
    if any(inner.primitive is equation.primitive for inner in closed.eqns):
        return None
    function = function_of(closed, how)
    return (
        function
        if equation.primitive.multiple_results
        else lambda *operands: function(*operands)[0]
    )


def _handed(equation: Any, how: How) -> Callable[..., Any]:
    """An equation that JAX evaluates, for one set of values after the other."""
    several, call = equation.primitive.multiple_results, _of_jax(equation, how)

    def run(*operands: Any) -> Any:
        found = []
        for n in range(max(map(len, operands), default=1)):
            some = [operand[n if len(operand) > 1 else 0] for operand in operands]
            with enable_x64(True):
                results = call(
                    *[
                        a if isinstance(a, jax.Array) else jax.device_put(a)
                        for a in some
                    ]
                )
            found.append(results if several else [results])
        stacked = [
            keys_of(column)
            if is_key(variable)
            else np.stack([np.asarray(a) for a in column])
            for variable, column in zip(
                equation.outvars, zip(*found, strict=True), strict=True
            )
        ]
        return stacked if several else stacked[0]

    return run


def _of_jax(equation: Any, how: How) -> Callable[..., Any]:
    primitive, params = equation.primitive, equation.params
    if how.wide and primitive.name.startswith(
        "scatter"
    ):  # whose parameters hold a function of the dtypes in the trace
        names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
        scatter = getattr(jax.lax, primitive.name.replace("-", "_"))
        return jit_without_optimization(
            partial(scatter, **{name: params[name] for name in names})
        )
    if how.wide:
        params = {
            name: wide(value) if isinstance(value, np.dtype) else value
            for name, value in params.items()
        }
    try:
        return _compiled(primitive, frozenset(params.items()))
    except TypeError:  # parameters that have no hash
        return partial(primitive.bind, **params)


@lru_cache(maxsize=1024)
def _compiled(primitive: Any, params: frozenset[tuple[str, Any]]) -> Callable[..., Any]:
    return jit_without_optimization(partial(primitive.bind, **dict(params)))


def _scan(equation: Any, how: How) -> Callable[..., list[Array]]:
    params, (consts, carries) = equation.params, scan_counts(equation)
    length, step = params["length"], function_of(params["jaxpr"], how)
    order = range(length)[:: -1 if params["reverse"] else 1]
    stacked_avals = [variable.aval for variable in equation.outvars[carries:]]

    def observed(function: Callable[..., Any], *operands: Any) -> Any:
        result = function(*operands)
        if how.observe is not None:
            how.observe.step(equation, function, operands, [result])
        return result

    def run(*operands: Array) -> list[Array]:
        fixed, carry, by_time = (
            operands[:consts],
            operands[consts : consts + carries],
            operands[consts + carries :],
        )
        stacked: list[Any] = [None] * length  # by step
        for t in order:
            found = step(
                *fixed, *carry, *[observed(partial(at_step, t=t), a) for a in by_time]
            )
            carry, stacked[t] = found[:carries], found[carries:]
        if not length:
            return [
                *carry,
                *(
                    np.zeros((1, *aval.shape), how.dtype(aval.dtype))
                    for aval in stacked_avals
                ),
            ]
        return [
            *carry,
            *(observed(of_steps, *column) for column in zip(*stacked, strict=True)),
        ]

    return run


def scan_counts(equation: Any) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many the carry has: versions of JAX name them otherwise."""
    body = equation.params["jaxpr"]
    by_time = sum(
        v.aval.ndim > aval.ndim
        for v, aval in zip(equation.invars, body.in_avals, strict=True)
    )
    carries = sum(
        v.aval.ndim == aval.ndim
        for v, aval in zip(equation.outvars, body.out_avals, strict=True)
    )
    return len(equation.invars) - by_time - carries, carries


def _while(equation: Any, how: How) -> Callable[..., list[Array]]:
    params = equation.params
    test, body = (
        function_of(params["cond_jaxpr"], how),
        function_of(params["body_jaxpr"], how),
    )
    first, second = (
        params["cond_nconsts"],
        params["cond_nconsts"] + params["body_nconsts"],
    )

    def run(*operands: Array) -> list[Array]:
        of_test, of_body, values = (
            operands[:first],
            operands[first:second],
            list(operands[second:]),
        )
        while (goes_on := test(*of_test, *values)[0]).any():
            values = [
                chosen(goes_on, new, old)
                for new, old in zip(body(*of_body, *values), values, strict=True)
            ]
        return values

    return run


def _cond(equation: Any, how: How) -> Callable[..., list[Array]]:
    branches = [function_of(branch, how) for branch in equation.params["branches"]]

    def run(which: Array, *operands: Array) -> list[Array]:
        first, *others = np.unique(which)
        found = branches[first](*operands)
        for place in others:
            found = [
                chosen(which == place, a, b)
                for a, b in zip(branches[place](*operands), found, strict=True)
            ]
        return list(found)

    return run


_LOOPS: dict[str, Callable[[Any, How], Callable[..., list[Array]]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}

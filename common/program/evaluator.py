"""Evaluates a traced program in NumPy, equation by equation.

What a function computes is what JAX traces of it. To compile a trace takes longer than to evaluate it once on small
arrays. Here each equation becomes a call of NumPy:

    closed = jax.make_jaxpr(function)(x)
    (y,) = Evaluator(closed)(x[None])

Every array has one more axis in front, for several sets of values that are evaluated at once. Its length is their
number, or 1 where all sets have the same array. Calls (jit, custom derivatives, remat) are entered, loops run step by
step, and a primitive for which `trigru.common.program.rules` has no rule is handed to JAX, one equation at a time.

What only a compiled program shows is not seen here: what XLA does with it, memory, donation, and how many devices it
runs on.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from .handing import handed
from .how import How, Observer
from .rules import IDENTITIES, RULES
from .sets import at_step, chosen, is_key, keys_of, of_steps

Array = np.ndarray
#: Primitives that call a traced function, and stand for nothing else.
CALLS = (
    *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "custom_vmap_call"),
)
#: The parameters of equations that may hold the function that is called.
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")


class Evaluator:
    """A traced program that NumPy evaluates.

    Args:
        closed: what `jax.make_jaxpr(function)(*arguments)` returns.
        wide: compute in float64, whatever floating-point dtypes the trace has.
        observe: follows the evaluation, equation by equation.
        constants: changes the constants of the program: a function of an array and of its type in the trace.
        draws: draw random bits; else they are those of 0.25 drawn uniformly from 0 to 1, wherever they are drawn.

    >>> closed = jax.make_jaxpr(lambda x: jax.numpy.tanh(x).sum())(np.ones(3, "float32"))
    >>> Evaluator(closed)(np.zeros((2, 3), "float32"))
    [array([0., 0.], dtype=float32)]
    """

    def __init__(
        self,
        closed: Any,
        *,
        wide: bool = False,
        observe: Observer | None = None,
        constants: Callable[[Array, Any], Array] | None = None,
        draws: bool = True,
    ):
        self._how = How(wide, observe, constants, draws)
        self._avals, self._results = closed.in_avals, closed.out_avals
        self._run = function_of(closed, self._how)

    def __call__(self, *operands: Array) -> list[Array]:
        """The results, each with the axis of sets in front.

        Args:
            operands: arrays of one more axis than the trace has; where it is wide, of any floating-point dtype.

        Raises:
            ValueError: operands of other shapes than those of the trace.
        """
        given = []
        for aval, operand in zip(self._avals, operands, strict=True):
            shape = operand[0].shape if is_key(aval) else np.shape(operand)[1:]
            if shape != aval.shape:
                raise ValueError(f"an operand has shape {np.shape(operand)}, expected (sets, *{aval.shape}).")
            given.append(operand if is_key(aval) else np.asarray(operand, self._how.dtype(aval.dtype)))
        with np.errstate(all="ignore"):
            return list(self._run(*given))


def function_of(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    """A function of arrays that evaluates a closed trace. It is made once for each trace, unless one observes it."""
    return _kept(closed, how) if how.observe is None and how.constants is None else _function(closed, how)


@lru_cache(maxsize=4096)
def _kept(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    return _function(closed, how)


def _function(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    env: list[Any] = []  # constants now; operands and results when it runs
    slots: dict[Any, int] = {}

    def new(value: Any = None) -> int:
        env.append(value)
        return len(env) - 1

    def read(atom: Any) -> int:
        if isinstance(atom, Literal):
            return new(_constant(atom.val, atom.aval, how))
        return slots[atom]

    jaxpr = closed.jaxpr
    for variable, value in zip(jaxpr.constvars, closed.consts, strict=True):
        slots[variable] = new(_constant(value, variable.aval, how))
    inputs = [new() for _ in jaxpr.invars]
    slots.update(zip(jaxpr.invars, inputs, strict=True))
    instructions = []
    for equation in _needed(jaxpr):
        ins = tuple(read(atom) for atom in equation.invars)
        outs = tuple(new() for _ in equation.outvars)
        slots.update(zip(equation.outvars, outs, strict=True))
        several = equation.primitive.multiple_results
        function = _observed(equation, how) if how.observe else _evaluation(equation, how)
        instructions.append((function, ins, outs if several else outs[0], several))
    results = [read(atom) for atom in jaxpr.outvars]
    unused = _unused([(*ins, *(outs if several else (outs,))) for _, ins, outs, several in instructions], results)

    def run(*operands: Array) -> list[Array]:
        values = env.copy()
        for slot, operand in zip(inputs, operands, strict=True):
            values[slot] = operand
        for (function, ins, outs, several), last in zip(instructions, unused, strict=True):
            found = function(*[values[n] for n in ins])
            if several:
                for slot, value in zip(outs, found, strict=True):
                    values[slot] = value
            else:
                values[outs] = found
            for slot in last:
                values[slot] = None
        return [values[n] for n in results]

    return run


def _unused(slots: Sequence[Sequence[int]], results: Sequence[int]) -> list[list[int]]:
    """The slots that each instruction is the last to use, so that their memory is free after it."""
    later, found = set(results), []
    for some in reversed(slots):
        found.append([n for n in some if n not in later])
        later.update(some)
    return found[::-1]


def _needed(jaxpr: Any) -> list[Any]:
    """The equations whose results are used, or that have effects."""
    used = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    found = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not used.isdisjoint(equation.outvars):
            found.append(equation)
            used.update(atom for atom in equation.invars if not isinstance(atom, Literal))
    return found[::-1]


def _evaluation(equation: Any, how: How) -> Callable[..., Any]:
    """The function of an equation's operands."""
    name = equation.primitive.name
    if name == "random_bits" and not how.draws:
        out = equation.outvars[0].aval
        bits = np.full((1, *out.shape), 1 << (8 * out.dtype.itemsize - 2), out.dtype)
        return lambda *_: bits
    if any(map(is_key, (*equation.invars, *equation.outvars))) and name not in (*CALLS, *_LOOPS):
        return handed(equation, how)
    if name in CALLS:
        return function_of(_called(equation), how)
    if name in IDENTITIES:
        return (lambda *operands: operands) if equation.primitive.multiple_results else lambda operand, *_: operand
    if name in _LOOPS:
        return _LOOPS[name](equation, how)
    rule = RULES.get(name)
    function = rule(equation, how.dtype) if rule else None
    return function or _of_implementation(equation, how) or handed(equation, how)


def _observed(equation: Any, how: How) -> Callable[..., Any]:
    function, observer = _evaluation(equation, how), how.observe
    assert observer is not None
    enters = equation.primitive.name in (*CALLS, *_LOOPS)

    def run(*operands: Array) -> Any:
        if not enters:
            found = function(*operands)
            observer.step(equation, function, operands, found if equation.primitive.multiple_results else [found])
            return found
        observer.enter(equation)
        try:
            return function(*operands)
        finally:
            observer.leave()

    return run


def _constant(value: Any, aval: Any, how: How) -> Any:
    if is_key(aval):
        return keys_of([value])
    array = np.asarray(value, how.dtype(aval.dtype)).reshape(1, *aval.shape)
    return array if how.constants is None else how.constants(array, aval)


def _called(equation: Any) -> Any:
    """The closed trace that an equation calls."""
    found = next(equation.params[name] for name in CALLED if name in equation.params)
    return found if hasattr(found, "consts") else _closed(found)


@lru_cache(maxsize=4096)
def _closed(jaxpr: Any) -> Any:
    """A trace without constants, closed: once for each, so that `function_of` knows it again."""
    return ClosedJaxpr(jaxpr, ())


def alternative(equation: Any, **params: Any) -> Callable[..., Any]:
    """The function of an equation's operands, in float64, if some of its parameters were others.

    Args:
        equation: of a trace; its result has the same shape then.
        params: of the primitive.
    """
    return _evaluation(equation.replace(params={**equation.params, **params}), How(wide=True))


# What has no rule -------------------------------------------------------------------------------------------------


def _of_implementation(equation: Any, how: How) -> Callable[..., Any] | None:
    """The evaluation of what implements a primitive that is not JAX's own; None where JAX has to run it.

    That is its `impl`, and not what it is lowered to.
    """
    implementation = getattr(equation.primitive, "impl", None)
    module = getattr(implementation, "__module__", None) or "jax"  # that of a partial is that of its class
    if implementation is None or module.partition(".")[0] in ("jax", "jaxlib", "functools"):
        return None
    avals = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
    closed = jax.make_jaxpr(partial(implementation, **equation.params))(*avals)
    if any(inner.primitive is equation.primitive for inner in closed.eqns):
        return None
    function = function_of(closed, how)
    return function if equation.primitive.multiple_results else lambda *operands: function(*operands)[0]


# Loops ------------------------------------------------------------------------------------------------------------


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
        fixed, carry = operands[:consts], operands[consts : consts + carries]
        by_time = operands[consts + carries :]
        columns: list[list[Any]] = [[None] * length for _ in stacked_avals]
        for t in order:
            found = step(*fixed, *carry, *[observed(partial(at_step, t=t), a) for a in by_time])
            carry = found[:carries]
            for column, value in zip(columns, found[carries:], strict=True):
                column[t] = value
        whole = [
            observed(of_steps, *column) if column else np.zeros((1, *aval.shape), how.dtype(aval.dtype))
            for column, aval in zip(columns, stacked_avals, strict=True)
        ]
        return [*carry, *whole]

    return run


def scan_counts(equation: Any) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many the carry has. What is stacked has one more axis.

    Parameters of the equation say so, too, but not by the same names in every version of JAX.
    """
    body = equation.params["jaxpr"]
    by_time = sum(v.aval.ndim > aval.ndim for v, aval in zip(equation.invars, body.in_avals, strict=True))
    carries = sum(v.aval.ndim == aval.ndim for v, aval in zip(equation.outvars, body.out_avals, strict=True))
    return len(equation.invars) - by_time - carries, carries


def _while(equation: Any, how: How) -> Callable[..., list[Array]]:
    params = equation.params
    test, body = function_of(params["cond_jaxpr"], how), function_of(params["body_jaxpr"], how)
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def run(*operands: Array) -> list[Array]:
        of_test, of_body, values = operands[:first], operands[first:second], list(operands[second:])
        while (goes_on := test(*of_test, *values)[0]).any():
            values = [chosen(goes_on, new, old) for new, old in zip(body(*of_body, *values), values, strict=True)]
        return values

    return run


def _cond(equation: Any, how: How) -> Callable[..., list[Array]]:
    branches = [function_of(branch, how) for branch in equation.params["branches"]]

    def run(which: Array, *operands: Array) -> list[Array]:
        places = np.clip(which.astype(np.int64), 0, len(branches) - 1)
        first, *others = np.unique(places)
        found = branches[first](*operands)
        for place in others:
            found = [chosen(places == place, a, b) for a, b in zip(branches[place](*operands), found, strict=True)]
        return list(found)

    return run


_LOOPS: dict[str, Callable[[Any, How], Callable[..., list[Array]]]] = {"scan": _scan, "while": _while, "cond": _cond}

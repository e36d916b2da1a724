"""The functions that evaluate the equations of a trace.

Calls are entered, and loops run step by step.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from .by_jax import run_by_jax
from .how import How
from .numpy_rules import IDENTITIES, RULES
from .sets import Array, at_step, chosen, is_key, keys_of, of_steps

Function = Callable[..., Any]

#: Primitives that call a traced function, and stand for nothing else.
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "eval_jaxpr",
    "checkpoint",
    "remat",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "custom_vmap_call",
)
#: The parameters that may hold the function that is called.
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")


def function_of(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    """A function of arrays that evaluates a closed trace.

    It is made once for each trace, unless one observes it.
    """
    if how.observe is None and how.constants is None:
        return _function_once(closed, how)
    return _function(closed, how)


def evaluation(equation: Any, how: How) -> Function:
    """The function of an equation's operands."""
    name = equation.primitive.name
    if name == "random_bits" and not how.draws:
        return _fixed_bits(equation)
    if name in CALLS:
        return function_of(_called(equation), how)
    if name in _LOOPS:
        return _LOOPS[name](equation, how)
    if any(map(is_key, (*equation.invars, *equation.outvars))):
        return run_by_jax(equation, how)
    if name in IDENTITIES:
        several = equation.primitive.multiple_results
        return _hand_on_all if several else _hand_on_first

    rule = RULES.get(name)
    if rule is not None:
        function = rule(equation, how.dtype)
    else:
        function = _implementation(equation, how)
    return function or run_by_jax(equation, how)


# The equations of a function ----------------------------------------------------------


class _Instruction(NamedTuple):
    """An equation, with the places of its operands and results.

    They are places among the values of a function.
    """

    function: Function
    operands: list[int]
    results: list[int]
    several: bool  # whether the function returns a list of results
    unused: set[int]  # places that nothing needs any more, so that their memory is free


class _Places:
    """The place of each value of a function.

    Its values are arguments, constants, literals and results.
    """

    def __init__(self, how: How):
        self.values: list[Any] = []  # of constants and literals; None for all others
        self._how = how
        self._of_variable: dict[Any, int] = {}

    def of(self, atom: Any) -> int:
        """The place of a variable; a literal gets one each time."""
        if isinstance(atom, Literal):
            self.values.append(_constant(atom.val, atom.aval, self._how))
            return len(self.values) - 1
        if atom not in self._of_variable:
            self._of_variable[atom] = len(self.values)
            self.values.append(None)
        return self._of_variable[atom]


def _function(closed: Any, how: How) -> Callable[..., Sequence[Array]]:
    jaxpr = closed.jaxpr
    places = _Places(how)
    for variable in jaxpr.invars:  # arguments come first
        places.of(variable)
    for variable, value in zip(jaxpr.constvars, closed.consts, strict=True):
        places.values[places.of(variable)] = _constant(value, variable.aval, how)

    results = [places.of(atom) for atom in jaxpr.outvars]
    instructions = _instructions(jaxpr, places, set(results), how)

    def run(*operands: Array) -> list[Array]:
        values = places.values.copy()
        values[: len(operands)] = operands
        for function, sources, targets, several, unused in instructions:
            computed = function(*[values[n] for n in sources])
            if several:
                for n, result in zip(targets, computed, strict=True):
                    values[n] = result
            else:
                values[targets[0]] = computed
            for n in unused:
                values[n] = None
        return [values[n] for n in results]

    return run


_function_once = lru_cache(maxsize=4096)(_function)


def _instructions(
    jaxpr: Any, places: _Places, needed: set[int], how: How
) -> list[_Instruction]:
    """The equations that compute what is needed, or have an effect."""
    instructions = []
    for equation in reversed(jaxpr.eqns):  # so that it is known what is used later
        results = [places.of(variable) for variable in equation.outvars]
        if not equation.effects and needed.isdisjoint(results):
            continue
        operands = [places.of(atom) for atom in equation.invars]
        unused = {*operands, *results} - needed
        needed.update(operands)
        if how.observe is None:
            function = evaluation(equation, how)
        else:
            function = _observed(equation, how)
        several = equation.primitive.multiple_results
        instructions.append(_Instruction(function, operands, results, several, unused))
    return instructions[::-1]


def _observed(equation: Any, how: How) -> Function:
    """The function of an equation, which tells an observer what it does."""
    function = evaluation(equation, how)
    observer = how.observe
    assert observer is not None, "only who observes asks for this function"
    several = equation.primitive.multiple_results

    def enter(*operands: Array) -> Any:
        observer.enter(equation)
        try:
            return function(*operands)
        finally:
            observer.leave()

    def step(*operands: Array) -> Any:
        computed = function(*operands)
        results = computed if several else [computed]
        observer.step(equation, function, operands, results)
        return computed

    is_entered = equation.primitive.name in (*CALLS, *_LOOPS)
    return enter if is_entered else step


def _constant(value: Any, aval: Any, how: How) -> Any:
    if is_key(aval):
        return keys_of([value])
    array = np.asarray(value, how.dtype(aval.dtype))
    array = array.reshape(1, *aval.shape)
    if how.constants is not None:
        array = how.constants(array, aval)
    return array


def _fixed_bits(equation: Any) -> Function:
    """The random bits of which JAX makes 0.25, if it draws uniformly from 0 to 1."""
    aval = equation.outvars[0].aval
    number = 1 << (8 * aval.dtype.itemsize - 2)
    bits = np.full((1, *aval.shape), number, aval.dtype)
    return lambda *_: bits


def _hand_on_all(*operands: Array) -> tuple[Array, ...]:
    return operands


def _hand_on_first(operand: Array, *_: Array) -> Array:
    return operand


def _called(equation: Any) -> Any:
    """The closed trace of the function that an equation calls."""
    name = next(name for name in CALLED if name in equation.params)
    called = equation.params[name]
    return called if hasattr(called, "consts") else _close(called)


@lru_cache(maxsize=4096)
def _close(jaxpr: Any) -> ClosedJaxpr:
    """A trace as a closed one without constants.

    There is one object for each trace, so that `function_of` knows it again.
    """
    return ClosedJaxpr(jaxpr, ())


def _implementation(equation: Any, how: How) -> Function | None:
    """The evaluation of the `impl` of a primitive that is not JAX's own.

    It is None if JAX has to run it.
    """
    implementation = getattr(equation.primitive, "impl", None)
    # That of a partial is the module of its class.
    module = getattr(implementation, "__module__", None) or "jax"
    is_of_jax = module.partition(".")[0] in ("jax", "jaxlib", "functools")
    if implementation is None or is_of_jax:
        return None

    avals = [atom.aval for atom in equation.invars]
    specs = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
    closed = jax.make_jaxpr(partial(implementation, **equation.params))(*specs)
    if any(inner.primitive is equation.primitive for inner in closed.eqns):
        return None
    function = function_of(closed, how)
    if equation.primitive.multiple_results:
        return function
    return lambda *operands: function(*operands)[0]


# Loops and conditions -----------------------------------------------------------------


def scan_counts(equation: Any) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many are its carry.

    Versions of JAX have different names for these numbers.
    """
    body = equation.params["jaxpr"]
    by_time = carries = 0
    for atom, inside in zip(equation.invars, body.in_avals, strict=True):
        by_time += atom.aval.ndim > inside.ndim
    for variable, inside in zip(equation.outvars, body.out_avals, strict=True):
        carries += variable.aval.ndim == inside.ndim
    return len(equation.invars) - by_time - carries, carries


def _scan(equation: Any, how: How) -> Function:
    length = equation.params["length"]
    step = function_of(equation.params["jaxpr"], how)
    consts, carries = scan_counts(equation)
    steps = range(length)
    if equation.params["reverse"]:
        steps = steps[::-1]

    def observed(function: Function, *operands: Array) -> Array:
        result = function(*operands)
        if how.observe is not None:
            how.observe.step(equation, function, operands, [result])
        return result

    def run(*operands: Array) -> list[Array]:
        fixed = operands[:consts]
        carry = operands[consts : consts + carries]
        by_time = operands[consts + carries :]
        outputs: list[Any] = [None] * length
        for t in steps:
            at_t = [observed(partial(at_step, t=t), array) for array in by_time]
            results = step(*fixed, *carry, *at_t)
            carry = results[:carries]
            outputs[t] = results[carries:]
        if not length:
            return [*carry, *nothing()]
        stacked = [observed(of_steps, *array) for array in zip(*outputs, strict=True)]
        return [*carry, *stacked]

    def nothing() -> list[Array]:
        avals = [variable.aval for variable in equation.outvars[carries:]]
        return [np.zeros((1, *aval.shape), how.dtype(aval.dtype)) for aval in avals]

    return run


def _while(equation: Any, how: How) -> Function:
    params = equation.params
    test = function_of(params["cond_jaxpr"], how)
    body = function_of(params["body_jaxpr"], how)
    of_test = slice(params["cond_nconsts"])
    of_body = slice(of_test.stop, of_test.stop + params["body_nconsts"])

    def run(*operands: Array) -> list[Array]:
        values = list(operands[of_body.stop :])
        (goes_on,) = test(*operands[of_test], *values)
        while goes_on.any():
            new = body(*operands[of_body], *values)
            pairs = zip(new, values, strict=True)
            values = [chosen(goes_on, after, before) for after, before in pairs]
            (goes_on,) = test(*operands[of_test], *values)
        return values

    return run


def _cond(equation: Any, how: How) -> Function:
    branches = [function_of(branch, how) for branch in equation.params["branches"]]

    def run(index: Array, *operands: Array) -> list[Array]:
        first, *others = np.unique(index)
        results = list(branches[first](*operands))
        for number in others:
            pairs = zip(branches[number](*operands), results, strict=True)
            results = [chosen(index == number, a, b) for a, b in pairs]
        return results

    return run


_LOOPS: dict[str, Callable[[Any, How], Function]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}

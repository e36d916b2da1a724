"""The facts of functions and calls: of ports, of a framework's parts as people use them, and of models of one's own."""

import gc
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import InputError
from ...common.port.compilation import compiled_quickly
from ...common.port.hlo import read_program
from ...common.program import equations
from ...common.program.model import CALL, Model, is_float
from .record import (
    EQUATIONS,
    IN_FLOAT64,
    KEPT,
    MEMORY,
    OPERATIONS,
    PRINT,
    TRACES,
    WAITS,
    WARM_CALLS,
    Kept,
    Subject,
)
from .values import trail_of
from .worker import line_of, noticed, survived

Ran = Callable[
    [Callable[..., Any]], Callable[..., Any]
]  # whose result also counts how often Python runs a function
#: On a busy machine, a call may seem to wait, since it waits for the processor: at most so many calls are tried. One
#: that computes for longer, in seconds, is interrupted by other processes, and counts as one that does not wait.
MOST_CALLS, SHORT_S = 40, 3e-3
_LACKS = re.compile(r"missing \d+ required [a-z -]*arguments?: '(\w+)'")
ARGUMENTS = "the arguments"  # under it stands what a function was called with


@dataclass(frozen=True)
class Example:
    """A function that JAX can compile, with what it is called with, or parameters that are drawn alone."""

    function: Callable[..., Any] | None = (
        None  # (params, *inputs) -> a pytree of arrays; None if all is `drawn`
    )
    params: Any = ()  # a pytree; what is no array in it is left as it is
    inputs: tuple[Any, ...] = ()  # pytrees of arrays
    drawn: Any = (
        None  # parameters that were drawn from a fixed key; None where nothing is drawn
    )
    compiled: bool = False  # whether it is also compiled and called, as users have it, and not only traced


@dataclass(frozen=True)
class Called:
    """A call that is made as it is: it crosses the jit boundary by itself, or cannot be traced."""

    make: "Callable[[Ran], Callable[[], Any] | Call]"  # returns what is called, or a `Call` that says more of it
    compiled: bool = (
        False  # as users have it, whose bits count, or without LLVM's optimisations
    )
    counted: bool = (
        True  # whether what the call costs counts, too; else it is made once
    )


@dataclass(frozen=True)
class Call:
    """A call with its program."""

    run: Callable[[], Any]  # makes the call, and does not wait
    #: Its results by name, of a function that makes the call and waits.
    results: Callable[[Callable[[], Any]], dict[str, Any]] = lambda run: paths_of(
        run(), "result"
    )
    lower: Callable[[], Any] | None = (
        None  # what XLA is given; None where that cannot be had
    )
    leaves: int = 0  # arrays that cross the jit boundary inwards
    wait: Callable[[Any], Any] = (
        jax.block_until_ready
    )  # until what it returned is computed


Rows = Mapping[str, Callable[[], Example | Called]]


def subject_of(
    thing: Any,
    arguments: tuple[Any, ...],
    kept: Kept,
    *,
    name: str = "",
    source: str = "",
) -> Subject:
    """The facts of a model or a function of a user's own, from a source. Raises an InputError if it fails.

    It is a `trigru.parity.Model` or a callable pytree with arrays, as a module, which is differentiated by its
    parameters; or a function of arrays, which is differentiated by all its arguments.
    """
    if hasattr(thing, "init_with_output"):
        raise InputError(
            f"{type(thing).__name__} is of linen: pass its apply, then its variables, then the inputs."
        )
    name = (
        name
        or getattr(thing, "name", None)
        or getattr(thing, "__name__", type(thing).__name__)
    )
    subject = Subject(name, source or name)
    params, inputs, functions = (
        thing,
        arguments,
        {CALL: lambda module, *xs: module(*xs)},
    )
    if isinstance(thing, Model):
        params = thing.params
        functions = {
            mode: lambda p, *xs, mode=mode: thing(p, thing.state, xs, mode)[0]
            for mode in thing.modes
        }
    elif not any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(thing)):
        params, inputs, functions = arguments, (), {CALL: lambda given: thing(*given)}
    for mode, function in functions.items():
        collect(subject, kept, mode, Example(function, params, inputs, compiled=True))
        subject.tree |= tree_of(params, "parameter ")
    if subject.problems:
        problem = next(iter(subject.problems.values()))
        lacks = _LACKS.search(problem)
        advice = (
            f". Pass a function that has it: lambda *inputs: model(*inputs, {lacks[1]}=...)."
            if lacks
            else ""
        )
        raise InputError(f"{name} fails: {problem}{advice}")
    subject.values[ARGUMENTS] = kept.keep_all(paths_of(arguments))
    return subject


def look_at(subject: Subject, kept: Kept, rows: Rows) -> None:
    """Collect the facts of each row. What fails is a problem of its own, and the others go on."""
    for name, make in rows.items():
        with survived(subject, name):
            with noticed(subject, "make"), compiled_quickly():
                given = make()
            collect(subject, kept, name, given)


def collect(subject: Subject, kept: Kept, name: str, given: Example | Called) -> None:
    """Collect the facts of one thing: draws, results and gradients, trail, program, and the cost of a call."""
    with survived(subject, name), noticed(subject, "call"):
        if isinstance(given, Called):
            with nullcontext() if given.compiled else compiled_quickly():
                _collect_call(subject, kept, name, given)
            return
        if given.drawn is not None:
            subject.draws[name] = kept.keep_all(paths_of(given.drawn))
            subject.tree |= tree_of(given.drawn, f"{name} ")
        if given.function is not None:
            _collect_function(subject, kept, name, given, given.function)


def _collect_function(
    subject: Subject,
    kept: Kept,
    name: str,
    given: Example,
    function: Callable[..., Any],
) -> None:
    kept_for_gradient = 0

    def both(reals: list[Any], *inputs: Any) -> Any:
        nonlocal kept_for_gradient

        def split(reals: list[Any]) -> tuple[list[Any], Any]:
            rest = iter(reals)
            results = function(
                jax.tree.map(lambda a: next(rest) if is_float(a) else a, given.params),
                *inputs,
            )
            return [
                a
                for a in jax.tree.leaves(results)
                if jnp.issubdtype(jnp.result_type(a), jnp.inexact)
            ], results

        some, pull, results = jax.vjp(split, reals, has_aux=True)
        kept_for_gradient = bytes_of(pull)
        (gradient,) = pull(
            [jnp.conj(a) if jnp.iscomplexobj(a) else a for a in some]
        )  # of half the sum of squares
        return results, gradient

    arguments = [
        [leaf for leaf in jax.tree.leaves(given.params) if is_float(leaf)],
        *given.inputs,
    ]
    closed, shapes = jax.make_jaxpr(both, return_shape=True)(*arguments)
    subject.tree |= tree_of(shapes[0], f"{name} result")
    subject.trails[name], wide = trail_of(closed, jax.tree.leaves(arguments), kept)
    paths = [
        path or "the parameter"
        for path, leaf in paths_of(given.params).items()
        if is_float(leaf)
    ]
    names = [*paths_of(shapes[0], "result"), *(f"gradient of {path}" for path in paths)]
    subject.values[f"{name}{IN_FLOAT64}"] = kept.keep_all(
        dict(zip(names, wide, strict=True))
    )
    count = sum(1 for _ in equations(closed.jaxpr))
    subject.programs[name] = {EQUATIONS: count, KEPT: kept_for_gradient}
    if given.compiled:

        def make(ran: Ran) -> Call:
            jitted: Any = jax.jit(ran(both))
            return Call(
                lambda: jitted(*arguments),
                lambda run: dict(zip(names, jax.tree.leaves(run()), strict=True)),
                lambda: jitted.lower(*arguments),
                len(jax.tree.leaves(arguments)),
            )

        _collect_call(subject, kept, name, Called(make))


def _collect_call(subject: Subject, kept: Kept, name: str, given: Called) -> None:
    ran = first = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal ran
            ran += 1
            return function(*arguments, **options)

        return run

    made = given.make(counted)
    call = made if isinstance(made, Call) else Call(made)

    def run() -> Any:
        nonlocal first
        result = call.run()
        call.wait(result)
        first = first or ran
        return result

    subject.values[name] = kept.keep_all(call.results(run))
    if not given.counted:
        return
    if call.lower is not None:
        lowered = call.lower()
        xla = read_program(lowered)
        facts = {
            "dots": xla.dots,
            "fusions": xla.fusions,
            "loops": xla.whiles,
            "transposes": xla.transposes,
        }
        facts |= {
            OPERATIONS: count_operations(lowered),
            MEMORY: xla.temp_bytes,
            PRINT: xla.fingerprint,
        }
        subject.programs.setdefault(name, {}).update(facts)
    before, waits_s = ran, [waited_s(run) for _ in range(WARM_CALLS)]
    again = (ran - before) / max(first, 1)
    while min(waits_s) >= 1e-3 and len(waits_s) < MOST_CALLS:
        waits_s.append(waited_s(run))
    python, waited_ms = count_python(call.run), int(1e3 * min(waits_s))
    cost = {TRACES: 1 + round(again), WAITS: waited_ms, "leaves": call.leaves}
    subject.calls[name] = cost | {"functions": python["call"], "lines": python["line"]}
    if waited_ms:
        subject.lines[name] = waiting_line(run)


def count_operations(lowered: Any) -> int:
    """Operations of StableHLO."""
    return len(
        re.findall(
            r"^\s+(?:%\S+(?:, %\S+)* = )?\"?(?:stablehlo|chlo|mhlo)\.",
            lowered.as_text(),
            re.MULTILINE,
        )
    )


def waited_s(call: Callable[[], Any]) -> float:
    """How long a call did nothing: the time that passed without the processor's; 0 for one that computes for long."""
    start, start_cpu = time.perf_counter(), time.process_time()
    call()
    passed_s, computed_s = time.perf_counter() - start, time.process_time() - start_cpu
    return max(passed_s - computed_s, 0.0) if computed_s < SHORT_S else 0.0


def waiting_line(call: Callable[[], Any]) -> str:
    """The line that waits longest for a function of C, as for `time.sleep`, in each of three runs; "" for trigru's."""
    runs: list[dict[str, float]] = []
    before, idle_s = sys.getprofile(), 0.0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal idle_s
        now_s = time.perf_counter() - time.process_time()
        if event == "c_return":
            runs[-1][line_of(frame)] += now_s - idle_s
        idle_s = now_s

    for _ in range(3):
        runs.append(defaultdict(float))
        idle_s = time.perf_counter() - time.process_time()
        sys.setprofile(profile)
        try:
            call()
        finally:
            sys.setprofile(before)
    return max(runs[0], key=lambda line: min(run[line] for run in runs), default="")


def count_python(call: Callable[[], Any]) -> Counter[str]:
    """How many functions of Python and lines a call runs: by "call" and "line". No garbage is collected meanwhile."""
    found: Counter[str] = Counter()

    def trace(frame: Any, event: str, argument: Any) -> Any:
        found[event] += 1
        return trace

    before, collects = sys.gettrace(), gc.isenabled()
    gc.disable()
    try:
        sys.settrace(trace)
        call()
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    return found


def bytes_of(tree: Any) -> int:
    """Bytes of the arrays of a tree: of the function that `jax.vjp` returns, what is kept for the gradient."""
    return sum(
        int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )


def paths_of(model: Any, name: str = "") -> dict[str, Any]:
    """The arrays of a model's tree by their path, after a name, in its order."""
    found = jax.tree_util.tree_flatten_with_path(model)[0]
    return {
        name + jax.tree_util.keystr(path): leaf
        for path, leaf in found
        if hasattr(leaf, "dtype")
    }


def tree_of(model: Any, name: str = "") -> dict[str, str]:
    """The leaves of a model's tree by their path, in its order: dtype and shape."""
    return {
        path: f"{leaf.dtype}{np.shape(leaf)}"
        for path, leaf in paths_of(model, name).items()
    }

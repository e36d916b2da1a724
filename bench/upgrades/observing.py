"""The facts of functions and calls of ports and of frameworks' parts."""

import gc
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import NotOfferedError
from ...common.port.compilation import compiled_quickly
from ...common.port.hlo import read_program
from ...common.program import equations
from ...common.program.model import is_float
from .noticing import noticed, survived
from .record import WARM_CALLS, Cost, Observation, Program, Subject
from .snapshot_file import ArrayStore
from .trails import evaluated

_OPERATION = re.compile(
    r"^\s+(?:%\S+(?:, %\S+)* = )?\"?(?:stablehlo|chlo|mhlo)\.", re.MULTILINE
)


class TraceCounter:
    """Counts how often Python runs the functions that it wraps, as JAX traces them."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, each run of which is counted."""

        def run(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return function(*arguments, **options)

        return run


@dataclass(frozen=True)
class Example:
    """A function that JAX can trace, with arguments; or parameters that were drawn."""

    #: (params, *inputs) -> a pytree of arrays; None if there is nothing but `drawn`.
    function: Callable[..., Any] | None = None
    params: Any = ()  # a pytree; what is no array in it stays as it is
    inputs: tuple[Any, ...] = ()  # pytrees of arrays
    drawn: Any = None  # a pytree of parameters that were drawn from a fixed key
    compiled: bool = False  # whether it is also compiled and called, as by a user


def named_results(result: Any) -> dict[str, Any]:
    """The arrays, numbers and texts of a result by their paths, as "result[0]"."""
    leaves = jax.tree_util.tree_flatten_with_path(result)[0]
    return {f"result{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}


@dataclass(frozen=True)
class Call:
    """A call that is made as it is: it compiles by itself, or cannot be traced."""

    run: Callable[[], Any]  # makes the call, and does not wait for what it computes
    traces: TraceCounter = field(default_factory=TraceCounter)  # of what it traces
    read: Callable[[Any], Mapping[str, Any]] = named_results  # of what `run` returned
    steps: int = 1  # how often it is called, if each call changes something
    lower: Callable[[], Any] | None = None  # what XLA is given, if that can be had
    leaves: int = 0  # arrays that cross the jit boundary inwards
    wait: Callable[[Any], object] = jax.block_until_ready
    compiled: bool = False  # as by a user; else without LLVM's optimisations
    counted: bool = True  # whether its cost counts; else it is called once


#: Functions that make what is looked at, by its name.
Rows = Mapping[str, Callable[[], Example | Call]]


def look_at(subject: Subject, store: ArrayStore, rows: Rows) -> None:
    """Observe each row. What fails is a problem of its own, and the others go on."""
    for name, make in rows.items():
        with survived(subject, name):
            with noticed(subject, "make"), compiled_quickly():
                thing = make()
            observe(subject, store, name, thing)


def observe(
    subject: Subject, store: ArrayStore, name: str, thing: Example | Call
) -> None:
    """Add the facts of one thing to a subject, under a name; or the problem it has."""
    observation = subject.observe(name)
    with survived(subject, name), noticed(subject, "call"):
        try:
            _observe_thing(observation, store, thing)
        except NotOfferedError:  # nothing was seen, which is not the same as no results
            del subject.observations[name]
            raise


def pulled_back(
    results_of: Callable[[list[Any]], Any], reals: list[Any]
) -> tuple[Any, list[Any], int]:
    """The results of a function of arrays, a gradient, and the bytes kept for it.

    That is the gradient of half the sum of the squares of all floating-point results.
    """

    def outputs_and_results(reals: list[Any]) -> tuple[list[Any], Any]:
        results = results_of(reals)
        leaves = jax.tree.leaves(results)
        outputs = [leaf for leaf in leaves if _is_inexact(leaf)]
        return outputs, results

    outputs, pull, results = jax.vjp(outputs_and_results, reals, has_aux=True)
    (gradient,) = pull([_conjugate(output) for output in outputs])
    return results, gradient, bytes_of(pull)


def count_operations(lowered: Any) -> int:
    """Operations of StableHLO in what `lower` of a compiled function returns."""
    return len(_OPERATION.findall(lowered.as_text()))


def count_python(call: Callable[[], object]) -> Counter[str]:
    """How many functions and lines of Python a call runs, as "call" and "line".

    No garbage is collected meanwhile, since that may run Python, too.
    """
    events: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        events[event] += 1
        return trace

    trace_before = sys.gettrace()
    collects = gc.isenabled()
    gc.disable()
    try:
        sys.settrace(trace)
        call()
    finally:
        sys.settrace(trace_before)
        if collects:
            gc.enable()
    return events


def bytes_of(tree: Any) -> int:
    """Bytes of the arrays of a tree.

    Of the function that `jax.vjp` returns, it is what is kept for the gradient.
    """
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)


def paths_of(tree: Any, beginning: str = "") -> dict[str, Any]:
    """The arrays of a tree by their path, after a beginning, in the tree's order."""
    arrays: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if hasattr(leaf, "dtype"):
            arrays[beginning + jax.tree_util.keystr(path)] = leaf
    return arrays


def leaves_of(tree: Any, beginning: str = "") -> dict[str, str]:
    """Dtype and shape of the arrays of a tree by their path, in the tree's order."""
    arrays = paths_of(tree, beginning)
    return {path: f"{leaf.dtype}{np.shape(leaf)}" for path, leaf in arrays.items()}


def _observe_thing(
    observation: Observation, store: ArrayStore, thing: Example | Call
) -> None:
    if isinstance(thing, Call):
        observe_call(observation, store, thing)
        return
    if thing.drawn is not None:
        observation.draws = store.keep_all(paths_of(thing.drawn))
        observation.leaves |= leaves_of(thing.drawn)
    if thing.function is not None:
        _observe_function(observation, store, thing, thing.function)


def _observe_function(
    observation: Observation,
    store: ArrayStore,
    example: Example,
    function: Callable[..., Any],
) -> None:
    """Add results, gradients, the trail, and the program of a function."""

    def with_floats(reals: list[Any]) -> Any:
        """The parameters with these floating-point arrays in them."""
        remaining = iter(reals)

        def put_back(leaf: Any) -> Any:
            return next(remaining) if is_float(leaf) else leaf

        return jax.tree.map(put_back, example.params)

    def with_gradient(reals: list[Any], *inputs: Any) -> tuple[Any, list[Any]]:
        def results_of(reals: list[Any]) -> Any:
            return function(with_floats(reals), *inputs)

        results, gradient, kept = pulled_back(results_of, reals)
        kept_bytes.append(kept)
        return results, gradient

    kept_bytes: list[int] = []
    reals = [leaf for leaf in jax.tree.leaves(example.params) if is_float(leaf)]
    arguments = (reals, *example.inputs)
    closed, (result_shapes, _) = jax.make_jaxpr(with_gradient, return_shape=True)(
        *arguments
    )
    observation.leaves |= leaves_of(result_shapes, "result")
    evaluation = evaluated(closed, jax.tree.leaves(arguments), store)
    observation.trail = evaluation.trail

    names = list(paths_of(result_shapes, "result"))
    for path, leaf in paths_of(example.params).items():
        if is_float(leaf):
            names.append(f"gradient of {path or 'the parameter'}")
    exact_results = dict(zip(names, evaluation.outputs, strict=True))
    observation.exact_results = store.keep_all(exact_results)

    observation.program = Program(
        equations=sum(1 for _ in equations(closed.jaxpr)), kept_bytes=kept_bytes[0]
    )
    if not example.compiled:
        return

    def read(results: Any) -> dict[str, Any]:
        return dict(zip(names, jax.tree.leaves(results), strict=True))

    traces = TraceCounter()
    jitted = jax.jit(traces.counted(with_gradient))
    call = Call(
        run=lambda: jitted(*arguments),
        traces=traces,
        read=read,
        lower=lambda: jitted.lower(*arguments),
        leaves=len(jax.tree.leaves(arguments)),
        compiled=True,
    )
    observe_call(observation, store, call)


def _is_inexact(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact))


def _conjugate(array: Any) -> Any:
    return jnp.conj(array) if jnp.iscomplexobj(array) else array


def observe_call(observation: Observation, store: ArrayStore, call: Call) -> None:
    """Add results, the program and the cost of a call."""
    with ExitStack() as stack:
        if not call.compiled:
            stack.enter_context(compiled_quickly())

        result = _run_and_wait(call)
        first_traces = call.traces.count
        _read_results(observation, store, call, result)
        if not call.counted:
            return
        if call.lower is not None:
            observation.program = observation.program or Program()
            _read_program(observation.program, call.lower())

        traces_before = call.traces.count
        for _ in range(WARM_CALLS):
            _run_and_wait(call)
        traces_again = (call.traces.count - traces_before) / max(first_traces, 1)
        python = count_python(call.run)
        observation.cost = Cost(
            traces=1 + round(traces_again),
            leaves=call.leaves,
            functions=python["call"],
            lines=python["line"],
        )


def _run_and_wait(call: Call) -> Any:
    result = call.run()
    call.wait(result)
    return result


def _read_results(
    observation: Observation, store: ArrayStore, call: Call, first_result: Any
) -> None:
    """Add what a call returned, in all its steps, of which the first is made."""
    result = first_result
    for step in range(1, call.steps + 1):
        if step > 1:
            result = _run_and_wait(call)
        for path, leaf in call.read(result).items():
            name = f"{path}, step {step}" if call.steps > 1 else path
            if isinstance(leaf, str):
                observation.texts[name] = leaf
            else:
                observation.results[name] = store.keep(leaf)


def _read_program(program: Program, lowered: Any) -> None:
    facts = read_program(lowered)
    program.operations = count_operations(lowered)
    program.dots = facts.dots
    program.fusions = facts.fusions
    program.loops = facts.whiles
    program.transposes = facts.transposes
    program.temporary_bytes = facts.temp_bytes
    program.fingerprint = facts.fingerprint

"""A machine on which every cost is known, so that every number that trigru prints is known by arithmetic.

Its clock moves only when something is done. A call keeps the host for its dispatch time and then waits in the queue of
a device, which works on one call after the other; its result is ready when the device is done with it, and waiting for
it moves the clock to that moment. So a call that is waited for costs dispatch + device; of n that are not, the longer
of the two counts n times, and the other once.

What a call costs depends on the sizes of the arrays that it is really given, and not on what trigru calls them; its
answers are the oracle's, computed from what it is given. All that is patched inside trigru is in `virtual_machine`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.monitoring
import jaxtyping
import msgspec
import numpy as np
import pytest
import trigru.impls as impls
from support.costs import (
    COLD_CALLS,
    COLD_NS,
    COPY_GBYTE_PER_S,
    GEMM_GFLOP_PER_S,
    INIT_NS,
    LIMIT_DISPATCH_NS,
    PROCESSES,
    STYLES,
    Called,
    Cost,
    Costs,
    copies_of,
    hlo_of,
    labels_of,
)
from trigru.bench.arms import arms, peers
from trigru.bench.commands import options as command_options
from trigru.bench.timing import messages, roofline, sampling, supervisor, worker
from trigru.common.equality import oracle
from trigru.common.parameters.record import ClassifierParams, leaves
from trigru.common.port.protocol import CallStyle, Program

TRAIN_STEPS = 2  # that are computed; later ones answer as the last


class Pending:
    """What a call returns: an array that is ready at some moment; to look at it is to wait, as with JAX's arrays."""

    def __init__(self, machine: "Machine", value: Any, ready_ns: int):
        self.machine, self.value, self.ready_ns = machine, value, ready_ns

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.machine.wait(self)
        return np.asarray(self.value, dtype)


@dataclass
class Machine(Costs):
    """A clock, a device, and what runs on it.

    Args:
        wrong: (name, phase) of an arm whose last answer is off by a percent, from the process `wrong_from` on.
        recompiling: the name of an arm that compiles again at its eightieth call.
    """

    wrong: tuple[str, str] | None = None
    wrong_from: int = 0
    recompiling: str | None = None
    #: What was seen: in each process, the programs in the order of their first calls; and every matmul precision.
    built: list[list[Called]] = field(default_factory=list)
    precisions: set[str | None] = field(default_factory=set)

    def start(self, process: int) -> None:
        """A fresh process."""
        self.process, self.now_ns, self.free_ns, self._read_ns = process, 10**9, 0, 0
        self.built.append([])

    def perf_counter_ns(self) -> int:
        """Who does nothing but look at the clock sees it move by a microsecond each time."""
        self.now_ns += 1000 * (self.now_ns == self._read_ns)
        self._read_ns = self.now_ns
        return self.now_ns

    def perf_counter(self) -> float:
        return self.perf_counter_ns() * 1e-9

    def time(self) -> float:
        """Seconds since the epoch; to look is for free."""
        return 1.7e9 + self.now_ns * 1e-9

    def launch(self, values: Any, cost: Cost) -> Any:
        """Dispatch a call that returns these values."""
        self.now_ns += cost.dispatch
        self.free_ns = max(self.now_ns, self.free_ns) + cost.device
        return jax.tree.map(lambda value: Pending(self, value, self.free_ns), values)

    def wait(self, outputs: Any) -> Any:
        """Until all are ready."""
        self.now_ns = max([self.now_ns, *(leaf.ready_ns for leaf in jax.tree.leaves(outputs))])
        return outputs

    def program(self, port: str, style: str, config: Any, params: Any, phase: str) -> Program:
        """A phase of a model."""
        calls, called, given = 0, Called((0, 0, 0, 0), phase, port, style, config.kernel), ()
        self._see_precision()
        self.now_ns += INIT_NS

        def call(*arguments: Any) -> Any:
            nonlocal calls, called, given
            self._see_precision()
            if not calls:
                called = self._first_call(called, arguments, config.hidden_size)
            calls, given = calls + 1, arguments
            if calls == 80 and self.recompiling == called.name:
                self._compile(called)
            values = _answers(phase, params, arguments)
            values = values[min(calls, TRAIN_STEPS) - 1][0] if phase == "train_step" else values
            wrong = self._is_wrong(called) and phase != "train_step"
            dispatch, device = self.cost(called, self.process)
            cost = Cost(dispatch, device + COLD_NS * (calls <= COLD_CALLS))
            return self.launch(_spoilt(values) if wrong else values, cost)

        def moved() -> Any:
            if phase != "train_step" or not calls:
                return params
            end = _answers(phase, params, given)[min(calls, TRAIN_STEPS) - 1][1]
            return _spoilt(end) if self._is_wrong(called) else end

        def lower(*arguments: Any) -> Any:
            compiled = SimpleNamespace(
                as_text=lambda: hlo_of(called.counts),
                cost_analysis=lambda: {"flops": 1.0, "bytes accessed": 2.0},
                memory_analysis=lambda: SimpleNamespace(temp_size_in_bytes=called.temp_bytes),
            )
            wrapped = SimpleNamespace(compiled=compiled) if port == "equinox" else compiled  # as Equinox does
            return SimpleNamespace(compile=lambda: wrapped)

        return Program(
            call=call,
            params=moved,
            lower=None if port == "torch" else lower,
            leaves=called.leaves,
            read=lambda gradient: gradient,
            put=lambda array: array,
            wait=self.wait,
        )

    def _first_call(self, called: Called, arguments: tuple[Any, ...], hidden_size: int) -> Called:
        x = arguments[0]
        called = called._replace(sizes=(x.shape[0], *(x.shape[1:] if x.ndim == 3 else (1, x.shape[1])), hidden_size))
        self.built[-1].append(called)
        if called.port != "torch":
            self._compile(called)
        is_baseline = called.name == "pure[jit]"
        return called._replace(copy=self._copy) if is_baseline else called

    def _compile(self, called: Called) -> None:
        names = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")
        for name, spent_ns in zip(names, called.build_ns, strict=True):
            self.now_ns += spent_ns
            for part in (0.25, 0.75):  # as JAX tells of functions within functions
                jax.monitoring.record_event_duration_secs(f"/jax/core/compile/{name}", part * spent_ns * 1e-9)

    def _is_wrong(self, called: Called) -> bool:
        return self.wrong == (called.name, called.phase) and self.process >= self.wrong_from

    def _see_precision(self) -> None:
        self.precisions.add(jax.config.jax_default_matmul_precision)

    def limits_jax(self) -> tuple[Any, Any]:
        """What the roofline takes for jax and jax.numpy: a product and a copy, the sixth the fastest."""
        number = 0

        def jit(function: Any, **_: Any) -> Any:
            def call(*arrays: _Array) -> Any:
                nonlocal number
                self._see_precision()
                number += 1
                result: _Array = function(*arrays)
                device_ns = result.cost_ns * self.device * PROCESSES[self.process] * (1.0 if number % 9 == 6 else 1.25)
                result.ready_ns = self.launch(0, Cost(LIMIT_DISPATCH_NS, round(device_ns))).ready_ns
                return result

            return call

        random = SimpleNamespace(key=lambda seed: seed, normal=lambda key, shape, dtype: _Array(shape, dtype))
        fake = SimpleNamespace(
            devices=lambda: [SimpleNamespace(platform="cpu")], random=random, jit=jit, block_until_ready=self.wait
        )
        return fake, SimpleNamespace(zeros=lambda size, dtype: _Array((size,), dtype), dtype=np.dtype)

    def ask(self, request: Any, limit_s: float) -> Iterator[Any]:
        """As trigru's process that measures, in this one; what is said goes through JSON as it does there."""
        assert limit_s > 0
        self.start(request.process)
        self._copies = copies_of(request.arms)
        answers: list[Any] = []
        worker.measure(msgspec.json.decode(msgspec.json.encode(request), type=type(request)), answers.append)
        yield from (msgspec.json.decode(msgspec.json.encode(a), type=messages.Answer) for a in answers)

    def prepare(self, arm: Any) -> Any:
        self._copy = self._copies[arm.id]
        return arms.prepare(arm)

    def collector(self) -> Any:
        """What `trigru.bench.timing.sampling` takes for gc: it takes a millisecond, and is slow for nobody else."""

        def collect() -> None:
            self.now_ns += 10**6

        nothing = dict.fromkeys(("freeze", "unfreeze", "enable", "disable", "isenabled"), lambda: False)
        return SimpleNamespace(collect=collect, **nothing)


class _Array:
    """An array of the limits' programs, which knows what its operations cost at the best rate."""

    def __init__(self, shape: tuple[int, ...], dtype: str, cost_ns: float = 0.0):
        self.shape, self.dtype, self.cost_ns, self.ready_ns = shape, dtype, cost_ns, 0
        self.nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize

    def __matmul__(self, other: "_Array") -> "_Array":
        return _Array(self.shape, self.dtype, 2 * self.shape[0] ** 3 / GEMM_GFLOP_PER_S)

    def __add__(self, other: int) -> "_Array":
        return _Array(self.shape, self.dtype, 2 * self.nbytes / COPY_GBYTE_PER_S)


_known: dict[tuple[Any, ...], Any] = {}


def _answers(phase: str, params: Any, arguments: tuple[Any, ...]) -> Any:
    """The oracle's, in the dtype of what it is given; of training, loss and parameters after each step."""
    key = phase, *(id(array) for array in (*leaves(params).values(), *arguments))
    if key not in _known:
        _known[key] = _ask(phase, params, *arguments), params, arguments  # which keep their identity
    return _known[key][0]


def _ask(phase: str, params: Any, x: Any, *others: Any) -> Any:
    if phase == "step":
        tape = oracle.forward(params, x[:, None], *others)
        return tape.carry, tape.outputs[:, 0]
    classifier = isinstance(params, ClassifierParams)
    if phase == "forward" and classifier:
        return oracle.classify(params, x, *others)
    if phase == "forward":
        tape = oracle.forward(params, x, None, *others)
        return tape.carry, tape.outputs
    loss_and_gradient: Any = oracle.classifier_loss if classifier else oracle.sequence_loss
    if phase == "gradient":
        return loss_and_gradient(params, x, *others)
    found, first, second = [], 0.0, 0.0
    for step in range(1, TRAIN_STEPS + 1):  # Adam, with the rates that it has by default
        loss, gradient = loss_and_gradient(params, x, *others)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first or jax.tree.map(np.zeros_like, params), gradient)
        second = jax.tree.map(
            lambda v, g: 0.999 * v + 0.001 * g * g, second or jax.tree.map(np.zeros_like, params), gradient
        )
        corrections = 1 - 0.9**step, 1 - 0.999**step
        params = jax.tree.map(
            lambda p, m, v, c=corrections: p - 1e-3 * (m / c[0]) / (np.sqrt(v / c[1]) + 1e-8), params, first, second
        )
        found.append((np.asarray(loss), params))
    return found


def _spoilt(values: Any) -> Any:
    """With the last array off by a percent."""
    flat, structure = jax.tree.flatten(values)
    return jax.tree.unflatten(structure, [*flat[:-1], flat[-1] * np.float32(1.01)])


class _Port:
    """A port whose models are a configuration and canonical parameters."""

    kernels = ("stock", "fused")
    packages = ()

    def __init__(self, machine: Machine, name: str):
        self.name = self.title = name
        self.call_styles = tuple(
            CallStyle(
                s, s, lambda _, of, task, s=s: machine.program(name, s, *of, task.phase), labels=labels_of(name, s)
            )
            for port, s in STYLES
            if port == name
        )

    def load(self, config: Any, params: Any) -> Any:
        return config, params

    def make(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("a virtual port has programs alone")

    dump = apply = step = initial_carry = classify = value_and_grad = make


@contextmanager
def virtual_machine(rounds: int | None = None, **options: Any) -> Iterator[Machine]:
    """Trigru measures on a virtual machine; this is all that is patched in it.

    Args:
        rounds: of each group in each process; None for as many as fill its time.
        options: of `Machine`.
    """
    machine = Machine(**options)
    with pytest.MonkeyPatch.context() as patch:
        for module in (arms, roofline, sampling):
            patch.setattr(module, "time", machine)
        patch.setattr(sampling, "gc", machine.collector())
        for name, fake in zip(("jax", "jnp"), machine.limits_jax(), strict=True):
            patch.setattr(roofline, name, fake)
        patch.setattr(supervisor, "ask_process", machine.ask)
        patch.setattr(worker, "prepare", machine.prepare)
        patch.setattr(worker, "measure_loop_step", lambda: None)
        patch.setattr(command_options, "ROUNDS", rounds)
        for port in ("pure", "linen", "nnx", "equinox"):
            _put_module(patch, f"trigru.impls.{port}", PORT=_Port(machine, port))
        styles = tuple(peers.PeerStyle(s, s, partial(machine.program, n, s)) for n, s in STYLES if n == "torch")
        _put_module(patch, "trigru.bench.arms.peers.torch", PEER=peers.Peer("torch", "torch", (), styles))
        jaxtyping.config.update("jaxtyping_disable", True)  # half a million calls; their types are checked elsewhere
        for found in (caches := (impls.get_port, peers.get_peer)):
            found.cache_clear()
        try:
            yield machine
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)
            for found in caches:
                found.cache_clear()


def _put_module(patch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    module = ModuleType(name)
    vars(module).update(content)
    patch.setitem(sys.modules, name, module)

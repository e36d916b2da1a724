"""The least work of a phase, counted once more by XLA; and the limits that it is compared with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trigru.bench.arms import workloads
from trigru.bench.arms.workloads import WORKLOADS, Work, Workload, get_workload, work_of
from trigru.bench.results.arm import Sized
from trigru.bench.timing import worker
from trigru.bench.timing.worker import measure_ceilings
from trigru.impls import pure

SMALL = [
    Workload("a", "", batch_size=2, time=3, input_size=2, hidden_size=3),
    Workload("b", "", batch_size=1, time=2, input_size=5, hidden_size=2),
]
PHASES = ("step", "forward", "gradient", "train_step")


@pytest.mark.parametrize("workload", [*SMALL, *WORKLOADS], ids=lambda w: w.name)
def test_operations_of_the_phases_follow_from_those_of_a_step(workload):
    B, D, H, C = (
        workload.batch_size,
        workload.input_size,
        workload.hidden_size,
        workload.classes or 0,
    )
    step, forward, gradient, train = (
        work_of(workload, phase).flops for phase in PHASES
    )
    products, steps = 6 * H * (D + H), workload.steps
    assert step == B * (products + 15 * H)
    assert forward == steps * (products + 15 * H) + 2 * B * H * C
    assert (
        gradient == forward + steps * (products + 6 * H * H + 30 * H) + 4 * B * H * C
    ), "no gradient of the inputs"
    assert train - gradient == workloads.ADAM_FLOPS * workload.parameters()


def xla_flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def test_xla_counts_about_as_much():
    """Of the steps unrolled, so that it counts each."""
    B, D, H = 3, 12, 16
    params = pure.init(D, H, key=jax.random.key(0))
    for phase, T in (("step", 1), ("forward", 3), ("gradient", 3)):

        def outputs_of(params, x, T=T):
            return pure.gru(params, x, unroll=T)[1]

        gradient = jax.grad(
            lambda params, x, of=outputs_of: jnp.mean((of(params, x) - 0.5) ** 2)
        )
        counted = xla_flops(
            gradient if phase == "gradient" else outputs_of, params, jnp.ones((B, T, D))
        )
        assert work_of(Workload("x", "", B, T, D, H), phase).flops == pytest.approx(
            counted, rel=0.3
        ), phase
    weights, adam = jnp.ones(1000), optax.adam(1e-3)

    def move(gradient, state, weights):
        updates, state = adam.update(gradient, state, weights)
        return optax.apply_updates(updates, weights), state

    counted = xla_flops(move, weights, adam.init(weights), weights)
    assert counted == pytest.approx(workloads.ADAM_FLOPS * 1000, rel=0.3)


@pytest.mark.parametrize(
    "workload", [*SMALL, get_workload(Sized("vowels"))], ids=lambda w: w.name
)
def test_each_number_is_moved_once(workload):
    B, D, H, C = (
        getattr(workload, name)
        for name in ("batch_size", "input_size", "hidden_size", "classes")
    )
    parameters, of_step, steps = (
        workload.parameters("forward"),
        workload.parameters("step"),
        workload.steps,
    )
    outputs, targets = (B * C, B) if C else (steps * H, steps * H)
    gradient = 2 * parameters + steps * D + targets + 2 * steps * H
    assert {phase: work_of(workload, phase).moved_bytes / 4 for phase in PHASES} == {
        "step": of_step + B * D + 2 * B * H,
        "forward": parameters + steps * D + outputs,
        "gradient": gradient,
        "train_step": gradient + 4 * parameters,  # both moments, read and written
    }
    of_float32, of_bfloat16 = (
        work_of(workload, "gradient", dtype) for dtype in ("float32", "bfloat16")
    )
    assert of_bfloat16 == Work(of_float32.flops, of_float32.moved_bytes / 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_limits_are_what_was_done_in_the_time_of_the_fastest_call(monkeypatch, dtype):
    """A product, and a copy in place that starts from its own result: each byte is read and written; and a loop."""
    monkeypatch.setattr(worker, "GEMM_SIZE", {jax.default_backend(): 64})
    monkeypatch.setattr(worker, "COPY_BYTES", {jax.default_backend(): 2**16})
    results, times_s = [], iter([2e-6, 8e-6, 5e-3])

    def fastest_s(call, array):
        results.append(first := call(array))
        address = first.unsafe_buffer_pointer()
        results.append(again := call(first))
        assert len(results) != 4 or (
            first.is_deleted() and again.unsafe_buffer_pointer() == address
        )
        return next(times_s)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_fastest_s", fastest_s)
        found = measure_ceilings(dtype)
    rates = 2 * 64**3 / 2e-6 * 1e-9, 2 * 2**16 / 8e-6 * 1e-9, 5e-3 / worker.STEPS
    assert (
        found.gemm_gflop_per_s,
        found.copy_gbyte_per_s,
        found.loop_step_s,
    ) == pytest.approx(rates)
    _, product, _, copy, *_ = results
    assert (product.shape, product.dtype, copy.nbytes, copy.dtype) == (
        (64, 64),
        dtype,
        2**16,
        dtype,
    )
    assert float(copy[0]) == 2, "no call started from the first array"
    own = measure_ceilings(dtype)
    assert 0 < min(own.gemm_gflop_per_s, own.copy_gbyte_per_s, own.loop_step_s) < np.inf


def test_the_fastest_of_a_few_calls_counts_and_not_the_first(monkeypatch):
    calls, clock = (
        [],
        iter(np.cumsum([0.0, 5, 1, 3, 1, 2, 1, 4, 1, 9, 1, 9, 1, 9, 1, 9]).tolist()),
    )
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(clock))
    assert worker._fastest_s(lambda _: calls.append(1), None) == 2
    assert len(calls) == 1 + worker.CALLS

"""The least work of a phase, counted once more by XLA; and the limits it is held against."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trigru.bench.arms import work
from trigru.bench.arms.work import Work, work_of
from trigru.bench.arms.workloads import WORKLOADS, Workload, get_workload
from trigru.bench.results.arm import Sized
from trigru.bench.timing import roofline
from trigru.bench.timing.roofline import measure_ceilings
from trigru.common.parameters.record import random_params

SMALL = [
    Workload("a", "", batch_size=2, time=3, input_size=2, hidden_size=3),
    Workload("b", "", batch_size=1, time=2, input_size=5, hidden_size=2),
    Workload("c", "", batch_size=3, time=2, input_size=2, hidden_size=4, classes=3),
]
PHASES = ("step", "forward", "gradient", "train_step")


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_a_forward_pass_is_its_steps_and_the_readout(workload):
    readout = 2 * workload.batch_size * workload.hidden_size * (workload.classes or 0)
    expected = workload.time * work_of(workload, "step").flops + readout
    assert work_of(workload, "forward").flops == expected


@pytest.mark.parametrize("workload", [*SMALL, *WORKLOADS], ids=lambda w: w.name)
def test_a_gradient_is_three_forward_passes_less_the_inputs_gradient(workload, monkeypatch):
    monkeypatch.setattr(work, "CELL_FLOPS", 0)
    monkeypatch.setattr(work, "CELL_GRADIENT_FLOPS", 0)
    of_inputs = workload.steps * 2 * 3 * workload.hidden_size * workload.input_size
    forward, gradient = (work_of(workload, phase).flops for phase in ("forward", "gradient"))
    assert gradient == 3 * forward - of_inputs


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_a_train_step_adds_adam(workload):
    gradient, train = (work_of(workload, phase) for phase in ("gradient", "train_step"))
    assert train.flops - gradient.flops == work.ADAM_FLOPS * workload.parameters()
    # both moments, read and written
    assert train.moved_bytes - gradient.moved_bytes == 4 * 4 * workload.parameters()


def xla_flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def outputs_of(params, x):
    """The equations, unrolled, so that XLA counts each step."""
    W_i, W_h, b, b_n, h = params
    found = []
    for t in range(x.shape[1]):
        gx = x[:, t] @ W_i + b[None]
        gh = h @ W_h
        H = h.shape[1]
        r, z = (jax.nn.sigmoid(gx[:, s] + gh[:, s]) for s in (slice(H), slice(H, 2 * H)))
        h = (1 - z) * jnp.tanh(gx[:, 2 * H :] + r * (gh[:, 2 * H :] + b_n[None])) + z * h
        found.append(h)
    return jnp.stack(found, 1)


@pytest.mark.parametrize("phase", ["step", "forward", "gradient"])
@pytest.mark.parametrize(("B", "D", "H"), [(3, 12, 16), (2, 24, 8)])
def test_xla_counts_about_as_much(phase, B, D, H):
    T = 1 if phase == "step" else 3
    workload = Workload("x", "", B, T, D, H)
    params = tuple(jnp.ones(s) for s in ((D, 3 * H), (H, 3 * H), (3 * H,), (H,), (B, H)))
    x = jnp.ones((B, T, D))
    function = outputs_of
    if phase == "gradient":
        function = jax.grad(lambda params, x: jnp.mean((outputs_of(params, x) - 0.5) ** 2))
    assert work_of(workload, phase).flops == pytest.approx(xla_flops(function, params, x), rel=0.3)


def test_xla_counts_about_as_much_for_adam():
    params = jnp.ones(1000)
    adam = optax.adam(1e-3)

    def move(gradient, state, params):
        updates, state = adam.update(gradient, state, params)
        return optax.apply_updates(updates, params), state

    found = xla_flops(move, params, adam.init(params), params)
    assert found == pytest.approx(work.ADAM_FLOPS * 1000, rel=0.3)


def parameters_of(workload, phase):
    return sum(leaf.size for leaf in jax.tree.leaves(random_params(workload.config(phase))))


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_what_a_call_moves(workload):
    B, T, D, H, C = (getattr(workload, n) for n in ("batch_size", "time", "input_size", "hidden_size", "classes"))
    parameters, of_step = (parameters_of(workload, phase) for phase in ("forward", "step"))
    inputs, outputs, targets, states = B * T * D, B * C if C else B * T * H, B if C else B * T * H, B * T * H
    moved = {phase: work_of(workload, phase).moved_bytes / 4 for phase in PHASES[:3]}
    assert moved == {
        "step": of_step + B * D + 2 * B * H,
        "forward": parameters + inputs + outputs,
        "gradient": 2 * parameters + inputs + targets + 2 * states,
    }


@pytest.mark.parametrize("phase", PHASES)
def test_bytes_follow_the_dtype_and_operations_do_not(phase):
    full, half, double = (work_of(SMALL[0], phase, dtype) for dtype in ("float32", "bfloat16", "float64"))
    assert half == Work(full.flops, full.moved_bytes / 2)
    assert double == Work(full.flops, full.moved_bytes * 2)


@pytest.mark.parametrize("phase", PHASES)
def test_padded_steps_are_no_work(phase):
    vowels = get_workload(Sized("vowels"))
    longer = replace(vowels, make=lambda workload: padded(vowels.batch()), time=2 * vowels.time)
    assert vowels.steps == longer.steps < vowels.batch_size * vowels.time
    assert work_of(longer, phase) == work_of(vowels, phase)


def padded(batch):
    """As many steps again, past every sequence's end."""
    return batch._replace(x=np.concatenate([batch.x, batch.x], 1))


@pytest.fixture
def small_sizes(monkeypatch):
    """A product of 64 by 64 and a copy of 64 KiB; gives the calls that are timed."""
    timed = []
    fastest_s = roofline._fastest_s

    def watched(call):
        timed.append(call)
        return fastest_s(call)

    monkeypatch.setattr(roofline, "GEMM_SIZE", {jax.default_backend(): 64})
    monkeypatch.setattr(roofline, "COPY_BYTES", {jax.default_backend(): 2**16})
    monkeypatch.setattr(roofline, "_fastest_s", watched)
    return timed


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_limits_are_positive_and_finite(small_sizes, dtype):
    found = measure_ceilings(dtype)
    assert 0 < found.gemm_gflop_per_s < np.inf
    assert 0 < found.copy_gbyte_per_s < np.inf
    product, copy = (call() for call in small_sizes)
    assert (product.shape, product.dtype) == ((64, 64), dtype)
    assert (copy.nbytes, copy.dtype) == (2**16, dtype)


def test_limits_are_what_was_done_in_the_time_of_the_fastest_call(small_sizes, monkeypatch):
    times_s = iter([2e-6, 8e-6])  # of the product, and of the copy
    monkeypatch.setattr(roofline, "_fastest_s", lambda call: call() is None or next(times_s))
    found = measure_ceilings()
    assert found.gemm_gflop_per_s == pytest.approx(2 * 64**3 / 2e-6 * 1e-9)
    assert found.copy_gbyte_per_s == pytest.approx((2**16 + 2**16) / 8e-6 * 1e-9), "each byte is read and written"


def test_the_copy_works_in_place(small_sizes):
    measure_ceilings()
    _, copy = small_sizes
    before = copy()
    address = before.unsafe_buffer_pointer()
    after = copy()
    assert before.is_deleted()
    assert after.unsafe_buffer_pointer() == address
    # once to compile, once for each call that counts, twice here: not one of them started from the first array
    assert float(after[0]) == roofline.CALLS + 3

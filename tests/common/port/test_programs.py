"""What is read from a program: its counts, and how long it took to build."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import pytest
from flax import nnx
from jax._src import monitoring
from support.runs import make_arm
from trigru.bench.arms.arms import prepare
from trigru.common.port.programs import read_program, watch_build

X = jnp.ones((4, 4))


@dataclass(frozen=True)
class Program:
    """A small known program and its counts."""

    function: Any
    dots: int = 0
    whiles: int = 0
    transposes: int = 0
    fusions: int | None = None


def repeat(trips, a, b):
    """A loop that XLA keeps, with one product in its body."""
    return jax.lax.fori_loop(0, trips, lambda _, carry: (jnp.sin(carry[0]) @ carry[1], carry[1]), (a, b))


PROGRAMS = {
    "a product": Program(lambda x: x @ x, dots=1, fusions=0),
    "elementwise": Program(lambda x: jnp.tanh(x) * 2 + x, fusions=1),
    "a product in a loop": Program(lambda x: repeat(8, x, x), dots=1, whiles=1),
    "two loops": Program(lambda x: repeat(5, *repeat(8, x, x)), dots=2, whiles=2),
    "a transposition": Program(lambda x: jnp.transpose(jnp.sin(x), (1, 0, 2)), transposes=1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_are_counted(name):
    program = PROGRAMS[name]
    x = jnp.ones((3, 4, 5)) if program.transposes else X
    facts = read_program(jax.jit(program.function).lower(x))
    assert (facts.dots, facts.whiles, facts.transposes) == (program.dots, program.whiles, program.transposes)
    assert program.fusions in (None, facts.fusions)


def test_xlas_own_analyses_are_kept():
    compiled = jax.jit(lambda x: jnp.sin(x) @ x).lower(X)
    facts = read_program(compiled)
    assert facts.temp_bytes == compiled.compile().memory_analysis().temp_size_in_bytes > 0
    assert read_program(jax.jit(lambda x: jnp.sum(jnp.sin(x) @ x)).lower(X)).temp_bytes > 4, "not of its one result"


class Without:
    """A compiled program of a backend that analyses nothing, and that calls a library for its products."""

    text = """HloModule jit_f

ENTRY %main.1 (x.1: f32[4,4]) -> f32[4,4] {
  %x.1 = f32[4,4]{1,0} parameter(0)
  %called = f32[4,4]{1,0} custom-call(%x.1), custom_call_target="__cublas$gemm"
  ROOT %dot.1 = f32[4,4]{1,0} dot(%called, %x.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""

    def compile(self):
        return self

    def as_text(self):
        return self.text

    def cost_analysis(self):
        raise NotImplementedError

    def memory_analysis(self):
        return None


def test_a_librarys_products_count_and_analyses_may_be_missing():
    facts = read_program(Without())
    assert facts.dots == 2
    assert facts.temp_bytes is None


@pytest.mark.parametrize("jit", [jax.jit, nnx.jit, eqx.filter_jit], ids=["jax", "nnx", "equinox"])
def test_each_frameworks_jit_can_be_read(jit):
    facts = read_program(jit(lambda x: jnp.tanh(x @ x) @ x).lower(X))
    assert facts.dots == 2
    assert facts.temp_bytes > 0


def test_nnx_and_pure_share_one_program():
    facts = []
    for name in ("pure[jit]", "nnx[leaves]", "nnx[pytree]", "nnx[split-merge]"):
        ready = prepare(make_arm(name))
        facts.append(read_program(ready.program.lower(*ready.arguments)))
    assert facts[1:] == [facts[0]] * 3
    assert (facts[0].dots, facts[0].whiles) == (2, 1)


def test_jaxs_events_have_the_names_that_are_listened_for():
    seen = []

    def listen(event, duration_s, **_):
        seen.append((event.rpartition("/")[2], duration_s))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with watch_build() as account:
            jax.block_until_ready(jax.jit(lambda x: jax.jit(jnp.sin)(x) @ x + 0.123)(X))
        inside = dict(seen)
        jax.block_until_ready(jax.jit(lambda x: jnp.cos(x) @ x + 0.321)(X))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    build = account(1.0)
    assert build.trace_s == inside["jaxpr_trace_duration"] > 0
    assert build.lower_s == inside["jaxpr_to_mlir_module_duration"] > 0
    assert build.compile_s == inside["backend_compile_duration"] > 0


def test_the_listener_goes_even_after_an_error():
    before = list(monitoring._event_duration_secs_listeners)
    with watch_build():
        assert len(monitoring._event_duration_secs_listeners) == len(before) + 1
    assert monitoring._event_duration_secs_listeners == before
    with pytest.raises(RuntimeError, match="stop"), watch_build():
        raise RuntimeError("stop")
    assert monitoring._event_duration_secs_listeners == before

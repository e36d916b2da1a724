"""What is read from a program: its counts, and how long it took to build."""

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


def repeat(trips, a, b):
    """A loop that XLA keeps, with one product in its body."""
    return jax.lax.fori_loop(0, trips, lambda _, carry: (jnp.sin(carry[0]) @ carry[1], carry[1]), (a, b))


#: Small programs, and their products, loops, transpositions and fusions.
PROGRAMS = {
    "a product": (lambda x: x @ x, 1, 0, 0, 0),
    "elementwise": (lambda x: jnp.tanh(x) * 2 + x, 0, 0, 0, 1),
    "two loops": (lambda x: repeat(5, *repeat(8, x, x)), 2, 2, 0, None),
    "a transposition": (lambda x: jnp.transpose(jnp.sin(x.reshape(2, 2, 4)), (1, 0, 2)), 0, 0, 1, None),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_are_counted(name):
    function, *counts, fusions = PROGRAMS[name]
    facts = read_program(jax.jit(function).lower(X))
    assert [facts.dots, facts.whiles, facts.transposes] == counts
    assert fusions in (None, facts.fusions)


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
    assert (facts.dots, facts.temp_bytes) == (2, None)


@pytest.mark.parametrize("jit", [jax.jit, nnx.jit, eqx.filter_jit], ids=["jax", "nnx", "equinox"])
def test_each_frameworks_jit_can_be_read(jit):
    lowered = jit(lambda x: jnp.sum(jnp.tanh(x @ x) @ x)).lower(X)
    facts, compiled = read_program(lowered), lowered.compile()
    assert facts.dots == 2
    compiled = getattr(compiled, "compiled", compiled)
    assert facts.temp_bytes == compiled.memory_analysis().temp_size_in_bytes > 4, "not of its one result"


def test_nnx_and_pure_share_one_program():
    facts = []
    for name in ("pure[jit]", "nnx[leaves]", "nnx[pytree]", "nnx[split-merge]"):
        ready = prepare(make_arm(name))
        facts.append(read_program(ready.program.lower(*ready.arguments)))
    assert facts[1:] == [facts[0]] * 3
    assert (facts[0].dots, facts[0].whiles) == (2, 1)


def test_a_build_is_timed_by_jaxs_events_until_its_end():
    seen, before = [], list(monitoring._event_duration_secs_listeners)

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
    with pytest.raises(RuntimeError, match="stop"), watch_build():
        raise RuntimeError("stop")
    assert monitoring._event_duration_secs_listeners == before

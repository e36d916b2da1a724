"""How long JAX takes to build a program, as its own events say."""

import jax
import jax.monitoring
import jax.numpy as jnp
import pytest
from jax._src import monitoring
from trigru.bench.timing.watching import watch_build

X = jnp.ones((4, 4))


@pytest.fixture
def durations():
    """JAX's own durations, in seconds, by the last part of an event's name."""
    durations = {}

    def listen(event, duration_s, **_):
        durations[event.rpartition("/")[2]] = duration_s

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield durations
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_build_is_timed_by_jaxs_events_until_its_end(durations):
    with watch_build() as build_until:
        jax.block_until_ready(jax.jit(lambda x: jax.jit(jnp.sin)(x) @ x + 0.123)(X))
    inside = dict(durations)
    jax.block_until_ready(jax.jit(lambda x: jnp.cos(x) @ x + 0.321)(X))

    build = build_until(1.0)
    assert build.trace_s == inside["jaxpr_trace_duration"] > 0
    assert build.lower_s == inside["jaxpr_to_mlir_module_duration"] > 0
    assert build.compile_s == inside["backend_compile_duration"] > 0
    assert build.first_call_s == 1.0


def test_nothing_listens_after_an_error():
    before = list(monitoring._event_duration_secs_listeners)
    with pytest.raises(RuntimeError, match="stop"), watch_build():
        raise RuntimeError("stop")
    assert monitoring._event_duration_secs_listeners == before

"""What older versions of JAX lack is found by looking; both ways do the same where both are there."""

import jax
import jax.numpy as jnp
import pytest
from trigru.common.compat import enable_x64, listening, varying_axes


@pytest.mark.parametrize("earlier", [False, True])
def test_64_bits_within_a_context(monkeypatch, earlier):
    if earlier:
        if not hasattr(jax.experimental, "enable_x64"):
            pytest.skip("this JAX has none of the earlier name")
        monkeypatch.delattr(jax, "enable_x64", raising=False)
    for wanted, dtype in ((True, "float64"), (False, "float32")):
        with enable_x64(wanted):
            assert jnp.zeros(1).dtype == dtype


def test_a_listener_is_heard_until_it_is_taken_away():
    heard = []

    def listen(event, *duration, **_):
        heard.append(event)

    def heard_now():
        heard.clear()
        jax.monitoring.record_event("/a")
        jax.monitoring.record_event_duration_secs("/b", 1.0)
        return list(heard)

    with listening(listen, of_durations=True):
        with listening(listen, of_durations=False):
            assert heard_now() == ["/a", "/b"]
        assert heard_now() == ["/b"]
    assert heard_now() == []


def test_the_axes_of_a_shard_map(monkeypatch):
    assert varying_axes(jnp.ones(2)) == frozenset()
    monkeypatch.delattr(jax, "typeof", raising=False)
    assert varying_axes(jnp.ones(2)) == frozenset()

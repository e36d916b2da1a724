"""Functions that older versions of JAX name otherwise; `.ci/oldest.py` verifies the ports with the oldest."""

import jax
from trigru.common.compat import listening


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

"""Functions that older versions of JAX name otherwise; `.ci/oldest.py` verifies the ports with the oldest."""

import jax
from trigru.common.compat import stop_listening


def test_a_listener_is_heard_until_it_is_taken_away():
    heard = []

    def listen(event, *duration, **_):
        heard.append(event)

    jax.monitoring.register_event_listener(listen)
    jax.monitoring.register_event_duration_secs_listener(listen)
    for expected, of_durations in ((["/a", "/b"], False), (["/b"], True), ([], None)):
        heard.clear()
        jax.monitoring.record_event("/a")
        jax.monitoring.record_event_duration_secs("/b", 1.0)
        assert heard == expected
        if of_durations is not None:
            stop_listening(listen, of_durations=of_durations)

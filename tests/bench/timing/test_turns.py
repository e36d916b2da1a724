"""Turns of processes side by side."""

import threading
import time
from contextlib import ExitStack

from trigru.bench.timing import supervisor
from trigru.bench.timing.supervisor import Turns


def test_who_waits_to_time_comes_before_who_prepares_again(tmp_path):
    order = []

    def take(own, kind):
        getattr(own, kind)()
        order.append(kind)
        own.close()

    with ExitStack() as stack:
        first, second, third = (stack.enter_context(Turns(tmp_path)) for _ in range(3))
        first.acquire_shared()
        others = (second, "acquire_exclusive"), (third, "acquire_shared")
        threads = [threading.Thread(target=take, args=of) for of in others]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        assert order == []
        first.close()
        for thread in threads:
            thread.join(timeout=10)
    assert order == ["acquire_exclusive", "acquire_shared"]


def test_who_waits_says_so_again_and_again_and_nobody_else_does(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "HEARTBEAT_S", 0.01)
    said, enough = [], threading.Event()

    def wait(name):
        said.append(name)
        enough.set() if len(said) > 2 else None

    with (
        Turns(tmp_path, lambda: wait("first")) as first,
        Turns(tmp_path, lambda: wait("second")) as second,
    ):
        first.acquire_exclusive()
        thread = threading.Thread(target=second.acquire_shared)
        thread.start()
        assert enough.wait(10)
        first.close()
        thread.join(timeout=10)
        many = len(said)
        time.sleep(0.05)
    assert {*said} == {"second"}
    assert len(said) == many

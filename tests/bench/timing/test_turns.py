"""Turns of processes side by side."""

import threading
import time
from contextlib import ExitStack

from trigru.bench.timing.turns import Turns


def test_nobody_works_while_one_times(tmp_path):
    spans, together = [], threading.Barrier(3)

    def work(number):
        with Turns(tmp_path) as turns:
            turns.acquire_shared()
            together.wait()
            for turn in range(4):
                for kind, take in (("prepare", turns.acquire_shared), ("time", turns.acquire_exclusive)):
                    take()
                    begun = time.monotonic()
                    time.sleep(0.002 * (1 + (number + turn) % 3))
                    spans.append((begun, time.monotonic(), kind, number))
            turns.acquire_shared()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(spans) == 4 * 2 * 3
    for begun, ended, kind, number in spans:
        others = [span for span in spans if span[3] != number and span[0] < ended and span[1] > begun]
        assert kind != "time" or not others


def test_who_waits_to_time_comes_before_who_prepares_again(tmp_path):
    order = []

    def take(acquire, turns):
        acquire()
        order.append(acquire)
        turns.close()

    with ExitStack() as stack:
        first, second, third = (stack.enter_context(Turns(tmp_path)) for _ in range(3))
        first.acquire_shared()
        waiting = {second.acquire_exclusive: second, third.acquire_shared: third}
        threads = [threading.Thread(target=take, args=of) for of in waiting.items()]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        assert order == []
        first.close()
        for thread in threads:
            thread.join(timeout=10)
    assert order == list(waiting)

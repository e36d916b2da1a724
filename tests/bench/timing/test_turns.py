"""Turns of processes side by side."""

import threading
import time

import pytest
from trigru.bench.timing.turns import Turns


@pytest.mark.parametrize("processes", [2, 3])
def test_nobody_works_while_one_times_and_all_prepare_before_one_times_twice(tmp_path, processes):
    spans, together = [], threading.Barrier(processes)

    def work(number):
        with Turns(tmp_path) as turns:
            turns.prepare()
            together.wait()
            for turn in range(4):
                for kind, take in (("prepare", turns.prepare), ("time", turns.time)):
                    take()
                    begun = time.monotonic()
                    time.sleep(0.002 * (1 + (number + turn) % 3))
                    spans.append((begun, time.monotonic(), kind, number, turn))
            turns.prepare()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(spans) == 4 * 2 * processes
    for begun, ended, kind, number, _ in spans:
        others = [span for span in spans if span[3] != number and span[0] < ended and span[1] > begun]
        assert kind != "time" or not others
    timed = [processes == 2 and turn for _, _, kind, _, turn in sorted(spans) if kind == "time"]
    assert timed == sorted(timed), "of two, who waits to time comes before who prepares again"

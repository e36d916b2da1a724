"""What is said of a framework's overhead: tables, and sentences on its cause."""

import pytest
from trigru.bench.analysis.overhead import Cause
from trigru.bench.reporting.times import explain


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (Cause("unread", 1e-6, (17, 16)), "no XLA program to look at"),
        (Cause("boundary", -3e-6, (17, 16)), "the same program: -3.0 µs a call for 17 leaves; pure 16"),
        (Cause("unexplained", 2.1e-3, (17, 16)), "unexplained: the same program, +2100.0 µs a call"),
        (Cause("operations", 1.0, (1, 1), (("dots", 6, 2), ("whiles", 0, 1))),
         "another program: 6 dots, 0 whiles; pure 2, 1"),
        (Cause("other program", 5e-6, (1, 1), (("fusions", 9, 7),)),
         "another program of the same 2 dots, 9 fusions; pure 7: +5.0 µs a call"),
        (Cause("other program", 5e-6, (1, 1)), "another program of the same 2 dots: +5.0 µs a call"),
    ],
)  # fmt: skip
def test_a_cause_is_told_in_a_sentence(cause, said):
    assert explain(cause, dots=2) == said

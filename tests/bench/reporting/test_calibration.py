"""The table of a calibration; its counts are in tests/bench/test_verdicts.py."""

from support.runs import make_arm, make_results
from trigru.bench.reporting.calibration import calibration_tables
from trigru.bench.results.arm import Untimed


def test_where_nothing_was_measured_the_reasons_are_said():
    results = make_results([])
    results.untimed.append(Untimed(make_arm("pure[jit]", trial=1), "out of memory"))
    (section,) = calibration_tables(results)
    assert section.rows == [("tiny~1/forward/float32/stock/pure[jit]", "out of memory")]

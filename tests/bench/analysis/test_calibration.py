"""How often verdicts are right where the truth is known, in numbers and in the table."""

from support.runs import make_arm, make_benchmark, make_results
from trigru.bench.analysis.calibration import calibration_rows
from trigru.bench.reporting.calibration import calibration_tables
from trigru.bench.results.record import Untimed


def calibrated():
    """Of each workload one group, with a copy of the baseline and one that is slowed."""
    verdicts = {
        "tiny": {"pure[jit]#2": "slower", "pure[jit]#3": "slower", "pure[jit]+5%": "slower"},
        "question": {"pure[jit]#2": "faster", "pure[jit]#3": "faster", "pure[jit]+5%": "indistinguishable"},
    }
    return make_results([
        make_benchmark(make_arm(name, workload, trial=1), [1e-3] * 6, verdict=verdict, ratio=ratio, floor=0.04)
        for workload, of_arm in verdicts.items()
        for ratio, (name, verdict) in zip((1.0, 1.0, 1.02, 1.06), {"pure[jit]": "-", **of_arm}.items(), strict=True)
    ])  # fmt: skip


def test_verdicts_are_counted_by_truth_and_workload_without_the_duplicate():
    rows = {(row.slowed, row.workload): row for row in calibration_rows(calibrated())}
    assert set(rows) == {(slowed, workload) for slowed in (0.0, 0.05) for workload in (None, "tiny", "question")}
    identical, slowed = rows[0.0, None], rows[0.05, None]
    assert (identical.arms, identical.slower, identical.faster, identical.share) == (2, 1, 1, 1.0)
    assert (identical.ratio, identical.floor) == (1.02, 0.04)
    assert (slowed.arms, slowed.slower, slowed.faster, slowed.share) == (2, 1, 0, 0.5)
    assert slowed.low < 0.02 < 0.98 < slowed.high
    assert rows[0.05, "tiny"].share == 1


def test_the_table_says_how_many_were_called_what():
    (section,) = calibration_tables(calibrated())
    rows = {row[:2]: row[2:] for row in section.rows}
    assert rows["identical", "all"] == ("2", "1", "1", "100.0% [15.8%, 100.0%]", "1.020", "±4.0%")
    assert rows["slowed by 5%", "question"][:3] == ("1", "0", "0")
    assert section.notes[0].startswith("2 groups of 4 arms, forward, 6 rounds in 1 processes.")


def test_where_nothing_was_measured_the_reasons_are_said():
    arm = make_arm("pure[jit]", trial=1)
    results = make_results([])
    results.untimed.append(Untimed(arm, "out of memory"))
    (section,) = calibration_tables(results)
    assert section.rows == [("tiny~1/forward/float32/stock/pure[jit]", "out of memory")]

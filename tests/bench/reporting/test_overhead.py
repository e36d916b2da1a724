"""What is said of a framework's overhead: tables, and sentences on its cause."""

import pytest
from matplotlib.axes import Axes
from support.runs import make_sweep, with_benchmarks, with_facts
from trigru.bench.analysis.overhead import Cause
from trigru.bench.reporting.overhead import overhead_tables
from trigru.bench.reporting.plots import plot_sweep
from trigru.bench.reporting.times import explain


def test_the_size_from_which_the_overhead_is_negligible_is_said(tmp_path, monkeypatch):
    swept, bars, real = make_sweep(ratio_high=1.3), [], Axes.errorbar
    monkeypatch.setattr(Axes, "errorbar", lambda self, x, y, e, **o: bars.append(e) or real(self, x, y, e, **o))
    plot_sweep(swept, tmp_path / "sweep.png")
    low, high = bars[0]
    assert (low < high).all(), "the farther end is the upper one"
    swept = make_sweep()
    section = overhead_tables(swept)[1]
    assert section.columns == ("arm", "8", "32", "128", "under 1% from")
    assert section.rows == [("linen[apply] train_step", "+10.0%", "+1.0%", "+0.1%", "128")]
    assert plot_sweep(swept, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000


@pytest.mark.parametrize(("facts", "said"), [({"ratio_high": 1.02}, "128 by estimate"), ({"ratio": 1.02}, "beyond")])
def test_what_the_intervals_do_not_bear_out_is_an_estimate(facts, said):
    swept = make_sweep()
    linen = [with_facts(b, **facts) if b.arm.port == "linen" else b for b in swept.benchmarks]
    assert overhead_tables(with_benchmarks(swept, linen))[1].rows[0][-1] == said


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

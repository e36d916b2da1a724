"""What a framework costs: per call, per leaf, and by size."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from trigru.bench.analysis.calibration import calibration_tables
from trigru.bench.analysis.overhead import tax_tables, taxes
from trigru.bench.reporting.plots import plot_sweep
from trigru.bench.results.record import Results, load

PUBLISHED = Path(__file__).parents[3] / "docs" / "results" / "cpu.json"


def altered(benchmark, workload=None, name=None, **facts):
    """A benchmark with other facts, and the group and name that go with them."""
    found = msgspec.structs.replace(benchmark.facts, **facts, **({"workload": workload} if workload else {}))
    group = "/".join([found.workload, found.phase, found.dtype, found.kernel])
    found = msgspec.structs.replace(found, id=f"{group}/{name or benchmark.name}")
    info = msgspec.structs.replace(benchmark.extra_info, trigru=found)
    return msgspec.structs.replace(
        benchmark, group=group, name=name or benchmark.name, fullname=found.id, extra_info=info
    )


@pytest.fixture(scope="module")
def published():
    return load(PUBLISHED)


def timed(benchmark, time_s, ratio, spread=0.001):
    """A benchmark whose times are all alike, and its ratio as if they were measured."""
    stats = benchmark.stats | {"data": [time_s] * len(benchmark.time_s)}
    changed = altered(benchmark, ratio=ratio, ratio_low=ratio - spread, ratio_high=ratio + spread)
    return msgspec.structs.replace(changed, stats=stats)


@pytest.fixture
def swept(published) -> Results:
    """Linen takes 10 µs more than pure at any size, whose times are 100 µs, 1 ms and 10 ms."""
    group = published.groups()["tiny/train_step/float32/stock"]
    pure, again, linen = group[:3]
    benchmarks = []
    for size, time_s in ((8, 1e-4), (32, 1e-3), (128, 1e-2)):
        workload = f"question@hidden={size}"
        ratio = 1 + 1e-5 / time_s
        benchmarks += [
            timed(altered(pure, workload), time_s, 1.0, 0.0),
            timed(altered(again, workload), time_s, 1.0),
            timed(altered(linen, workload, leaves=16, program=pure.facts.program), ratio * time_s, ratio, 1e-4),
        ]
    return msgspec.structs.replace(published, benchmarks=benchmarks, untimed=[])


def test_the_tax_is_what_the_ratio_says_in_seconds(swept):
    found = taxes(swept)
    assert [tax.arm for tax in found] == ["linen[apply]"] * 3
    assert [tax.size for tax in found] == [8, 32, 128]
    np.testing.assert_allclose([tax.tax_s for tax in found], 1e-5)
    np.testing.assert_allclose([tax.share for tax in found], [0.1, 0.01, 0.001])
    np.testing.assert_allclose(found[0].high_s - found[0].low_s, 2e-4 * 1e-4)
    assert all(tax.same_program for tax in found)


def test_the_size_from_which_the_tax_is_negligible_is_said(swept):
    section = tax_tables(swept)[1]
    assert section.columns == ("arm", "8", "32", "128", "under 1% from")
    assert section.rows == [("linen[apply] train_step", "+10.0%", "+1.0%", "+0.1%", "128")]


def test_an_interval_that_reaches_further_makes_it_an_estimate(swept):
    wide = [altered(b, ratio_high=1.02) if b.facts.port == "linen" else b for b in swept.benchmarks]
    assert tax_tables(msgspec.structs.replace(swept, benchmarks=wide))[1].rows[0][-1] == "128 by estimate"
    slow = [altered(b, ratio=1.02) if b.facts.port == "linen" else b for b in swept.benchmarks]
    assert tax_tables(msgspec.structs.replace(swept, benchmarks=slow))[1].rows[0][-1] == "beyond"


def test_a_size_counts_only_where_every_larger_one_does(swept):
    high = {"question@hidden=8": 1.005, "question@hidden=32": 1.02, "question@hidden=128": 1.005}
    linen = [
        altered(b, ratio=1.001, ratio_high=high[b.facts.workload]) if b.facts.port == "linen" else b
        for b in swept.benchmarks
    ]
    assert tax_tables(msgspec.structs.replace(swept, benchmarks=linen))[1].rows[0][-1] == "128"


def test_another_program_is_marked(published):
    rows = {row[0]: row for row in tax_tables(published)[0].rows}
    linen, leaves = rows["linen[apply]"], rows["nnx[leaves]"]
    assert all(cell.endswith("*") for cell in linen[1:-1])
    assert not leaves[1].endswith("*")
    assert len(tax_tables(published)) == 1, "nothing was swept"


def test_the_cost_of_a_leaf_is_the_slope_between_phases(published):
    smallest = [b for b in published.benchmarks if b.facts.workload == "tiny"]
    chosen = []
    for phase, time_s, ratio in (("forward", 1e-5, 1.5), ("train_step", 1e-4, 1.16)):
        pure, again, *_, equinox = (b for b in smallest if b.facts.phase == phase)
        chosen += [timed(pure, time_s, 1.0, 0.0), timed(again, time_s, 1.0), timed(equinox, time_s * ratio, ratio)]
    section = tax_tables(msgspec.structs.replace(published, benchmarks=chosen))[0]
    # 5 µs for 5 leaves, 16 µs for 16
    assert section.rows[0][-1].startswith("1 ±")


def test_a_sweep_is_plotted_and_nothing_else_is(swept, published, tmp_path):
    assert plot_sweep(swept, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    assert not plot_sweep(published, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_calibration_counts_verdicts_by_truth(published):
    pure, again, *_ = published.groups()["tiny/forward/float32/stock"]
    benchmarks = []
    for trial, verdicts in ((1, ("slower", "slower")), (2, ("faster", "indistinguishable"))):
        workload = f"tiny~{trial}"
        benchmarks += [altered(pure, workload), altered(again, workload)]
        benchmarks += [
            altered(again, workload, name="pure[jit]#3", copy=3, verdict=verdicts[0]),
            altered(again, workload, name="pure[jit]+5%", copy=1, slowed=0.05, verdict=verdicts[1]),
        ]
    benchmarks = [altered(b, name=b.name) for b in benchmarks]
    (section,) = calibration_tables(msgspec.structs.replace(published, benchmarks=benchmarks, untimed=[]))
    rows = {(row[0], row[1]): row for row in section.rows}
    truth, _, arms, slower, faster, share, *_ = rows["identical", "all"]
    assert (truth, arms, slower, faster) == ("identical", "2", "1", "1")
    assert share.startswith("100.0%")
    assert rows["slowed by 5%", "all"][2:5] == ("2", "1", "0")
    assert rows["slowed by 5%", "all"][5].startswith("50.0%")

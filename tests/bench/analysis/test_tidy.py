"""The tidy table: each number is its arm's, pairs are paired within rounds, and what is missing says why."""

import msgspec
import numpy as np
import pytest
from support.runs import draw_kernels, draw_run, make_arm, with_facts
from trigru.bench.analysis.pairs import difference
from trigru.bench.analysis.tidy import check_names, timings
from trigru.bench.results.arm import Untimed
from trigru.common.errors import UnknownNameError

pytestmark = pytest.mark.usefixtures("quick_bootstrap")
STYLES = ("documented", "functional")


@pytest.fixture(scope="module")
def run():
    drawn = draw_run(3, groups=("tiny/forward", "tiny/train_step"), processes=3, rounds=5)
    untimed = [Untimed(make_arm("linen[donated]"), "its first results were wrong")]
    return msgspec.structs.replace(drawn, untimed=untimed)


def test_a_row_has_the_numbers_of_its_arm(run):
    rows = timings([run], styles=STYLES)
    by_id = {(b.arm.phase, b.name): b for b in run.benchmarks}
    assert len(rows) == 2 * len({(row.arm, row.style) for row in rows}) - 1, "linen documents another train step"
    for row in rows:
        b = by_id[row.phase, row.arm]
        assert row.style in b.arm.labels
        assert (row.time_low_s, row.time_s, row.time_high_s) == tuple(np.quantile(b.time_s, (0.25, 0.5, 0.75)))
        assert (row.ratio, row.low, row.high) == (b.ratio, b.ratio_low, b.ratio_high)
        assert row.verdict == (None if b.arm.is_baseline else b.verdict)
        assert (row.dots, row.whiles) == (b.facts.program.dots, b.facts.program.whiles)


def test_pairs_are_of_one_style_and_within_rounds(run):
    rows = timings([run], "pairwise", phases=["forward"], styles=["functional"])
    assert [row.port for row in rows] == ["linen/nnx", "linen/equinox", "nnx/equinox"]
    by_name = {b.name: b for b in run.benchmarks if b.arm.phase == "forward"}
    for row in rows:
        d = difference(run, *(by_name[name] for name in row.arm.split("/")))
        assert (row.ratio, row.low, row.high) == (d.ratio, d.low, d.high)


def test_what_is_missing_or_odd_says_why(run):
    (row,) = (row for row in timings([run], styles=["donated"]) if row.port == "linen")
    assert (row.ratio, row.remark) == (None, "its first results were wrong")
    odd = with_facts(run, differs="other gates", gate=None, steady=False)
    row = next(row for row in timings([odd], styles=STYLES) if row.port == "nnx")
    assert row.cause == "equations"
    assert row.remark == (
        "other equations (other gates), so it is not compared with the oracle; "
        "not steady at the end of the warm-up in 3 of 3 processes"
    )


def test_kernels_and_runs_are_told_apart(run, rng):
    rows = timings([run, draw_kernels(rng)], styles=STYLES)
    assert {row.file for row in rows} == {1, 2}
    assert {(row.file, row.kernel, row.division) for row in rows} == {
        (1, "stock", "stock"), (2, "stock", "stock"), (2, "stock", "fused"), (2, "fused", "fused"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "chosen", [{"workloads": ["large"]}, {"phases": ["step"]}, {"styles": ["jit", "no_style"]}], ids=str
)
def test_a_name_that_no_run_has_is_refused(run, chosen):
    with pytest.raises(UnknownNameError):
        check_names([run], **chosen)

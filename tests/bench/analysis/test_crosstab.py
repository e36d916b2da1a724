"""What stands in a table to take away: every number from arithmetic, in the row and column of what was measured."""

import numpy as np
import pytest
from support.runs import draw_kernels, make_arm, make_benchmark, make_results, plan
from trigru.bench.analysis.crosstab import Column, crosstab
from trigru.bench.analysis.pairs import pair
from trigru.bench.analysis.statistics import Comparison, compare
from trigru.bench.results.arm import Untimed
from trigru.common.errors import InputError, UnknownNameError

BOTH = ("documented", "functional")
TIMES = {"pure[jit]": 1.0, "pure[jit]#2": 1.0, "linen[apply]": 2.0, "nnx[nnx.jit]": 8.0, "nnx[split-merge]": 4.0,
         "equinox[filter_jit]": 3.0, "equinox[partition]": 1.5}  # fmt: skip


def run(groups=("tiny/forward",), times=TIMES, processes=2, **options):
    """Arms whose times are known, on a machine that drifts."""
    benchmarks = []
    for number, group in enumerate(groups):
        drift = np.random.default_rng(number).lognormal(0, 0.3, 8 * processes) * 1e-3
        for name, ratio in times.items():
            facts = {"ratio": ratio, "verdict": "slower" if ratio > 1.02 else "indistinguishable"}
            benchmarks.append(make_benchmark(make_arm(name, *group.split("/")), ratio * drift,
                                             np.repeat(range(processes), 8), **facts))  # fmt: skip
    return make_results(benchmarks, plan=plan(ports=("pure", "linen", "nnx", "equinox"), **options))


def values(table):
    """By row and column, as short as can be."""
    return [
        {("/".join(c.frameworks), c.style): getattr(cell, "value", cell) for c, cell in row.cells.items()}
        for row in table.rows
    ]


@pytest.fixture(autouse=True)
def _quick(quick_bootstrap):
    """Bootstraps of a hundred samples."""


def test_ratios_to_plain_jax_are_those_of_the_file_in_columns_of_the_names_that_were_asked_for():
    table = crosstab([run()], "pure", styles=BOTH)
    assert values(table) == [{
        ("linen", "documented"): 2.0, ("linen", "functional"): 2.0, ("nnx", "documented"): 8.0,
        ("nnx", "functional"): 4.0, ("equinox", "documented"): 3.0, ("equinox", "functional"): 1.5,
    }]  # fmt: skip
    assert [(c.frameworks, c.style) for c in table.columns] == [
        ((name,), style) for name in ("linen", "nnx", "equinox") for style in BOTH
    ]
    assert {cell.verdict for cell in table.rows[0].cells.values()} == {"slower"}
    assert values(crosstab([run()], "pure", styles=("split-merge",))) == [{("nnx", "split-merge"): 4.0}]


def test_times_are_medians_with_quartiles_and_plain_jax_is_among_them():
    table = crosstab([run()], "time", styles=("documented",))
    assert list(values(table)[0]) == [(name, "documented") for name in ("pure", "linen", "nnx", "equinox")]
    for cell in table.rows[0].cells.values():
        time_s = cell.arms[0].time_s
        assert (cell.low, cell.value, cell.high) == tuple(np.quantile(time_s, (0.25, 0.5, 0.75)))
        assert cell.verdict is None


def test_pairs_are_of_one_label_paired_within_rounds_and_without_plain_jax():
    found = run()
    documented, functional = crosstab([found], "pairwise", styles=BOTH).rows
    assert (documented.style, functional.style) == BOTH
    assert values(crosstab([found], "pairwise", styles=BOTH)) == [
        pytest.approx({("linen/nnx", None): 0.25, ("linen/equinox", None): 2 / 3, ("nnx/equinox", None): 8 / 3}),
        pytest.approx({("linen/nnx", None): 0.5, ("linen/equinox", None): 4 / 3, ("nnx/equinox", None): 8 / 3}),
    ]
    nnx, equinox = (b for b in found.benchmarks if b.name in ("nnx[split-merge]", "equinox[partition]"))
    cell = functional.cells[Column(("nnx", "equinox"), None, "stock")]
    expected = pair(found, nnx, equinox)  # as the report says it
    assert Comparison(cell.value, cell.low, cell.high) == expected.ratio
    assert cell.verdict == expected.verdict == "slower"
    assert cell.value == pytest.approx(compare(nnx.time_s, equinox.time_s, nnx.facts.process).ratio)


def test_a_pair_within_the_noise_floor_or_of_few_rounds_is_indistinguishable():
    near = run(times=TIMES | {"nnx[nnx.jit]": 2.03, "equinox[filter_jit]": 2.0})
    cells = crosstab([near], "pairwise", styles=("documented",)).rows[0].cells
    assert {"/".join(c.frameworks): cell.verdict for c, cell in cells.items()} == {
        "linen/nnx": "indistinguishable", "linen/equinox": "indistinguishable", "nnx/equinox": "indistinguishable",
    }  # fmt: skip
    few = [make_benchmark(make_arm(name), np.full(3, time_s)) for name, time_s in TIMES.items()]
    (row,) = crosstab([make_results(few)], "pairwise", styles=("documented",)).rows
    assert {cell.verdict for cell in row.cells.values()} == {"indistinguishable"}


def test_rows_are_workloads_and_phases_and_those_of_several_files_stand_below_each_other():
    runs = [run(("tiny/forward", "tiny/train_step")), run(("tiny/forward", "question@hidden=8/step"))]
    rows = crosstab(runs, "pure", styles=BOTH).rows
    assert [(str(row.arm.workload), row.arm.phase, row.run) for row in rows] == [
        ("tiny", "forward", 0), ("tiny", "forward", 1), ("tiny", "train_step", 0), ("question@hidden=8", "step", 1),
    ]  # fmt: skip
    for asked in ("question", "question@hidden=8"):
        assert len(crosstab(runs, "pure", workloads=(asked,), styles=BOTH).rows) == 1
    assert {row.arm.phase for row in crosstab(runs, "pure", phases=("forward",), styles=BOTH).rows} == {"forward"}


def test_an_arm_without_a_number_has_its_reason_alone_and_in_pairs():
    found = run(times={name: t for name, t in TIMES.items() if not name.startswith("equinox")})
    found.untimed.append(Untimed(make_arm("equinox[?]"), "no module named equinox"))
    (row,) = crosstab([found], "pure", styles=("documented",)).rows
    assert row.cells[Column(("equinox",), "documented", "stock")] == "no module named equinox"
    (row,) = crosstab([found], "pairwise", styles=("documented",)).rows
    assert row.cells[Column(("nnx", "equinox"), None, "stock")] == "no module named equinox"
    found.untimed[:] = [Untimed(make_arm("equinox[filter_jit]"), "it hangs")]
    (row,) = crosstab([found], "pairwise", styles=("documented",)).rows
    assert row.cells[Column(("nnx", "equinox"), None, "stock")] == "it hangs"


def test_kernels_have_columns_of_their_own_and_are_never_paired_with_the_stock_cell():
    found = draw_kernels(np.random.default_rng(0))
    table = crosstab([found], "pure", styles=("documented",))
    assert {(c.frameworks[0], c.kernel) for c in table.columns} >= {
        ("nnx", "stock"),
        ("nnx", "fused"),
        ("pure", "fused"),
    }
    pairs = crosstab([found], "pairwise", styles=("documented",))
    assert all(a.arm.kernel == b.arm.kernel for r in pairs.rows for c in r.cells.values() for a, b in [c.arms])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"workloads": ("huge",)}, "unknown workload of these results 'huge'. Known: tiny."),
        ({"phases": ("step",)}, "unknown phase of these results 'step'. Known: forward."),
        ({"styles": ("pmap",)}, "unknown call style of these results 'pmap'. Known: jit, documented, functional"),
    ],
)
def test_what_no_file_has_is_told_with_what_they_have(asked, message):
    with pytest.raises(UnknownNameError, match=message):
        crosstab([run()], "pure", **({"styles": BOTH} | asked))


def test_there_is_no_table_of_nothing():
    alone = run(times={"pure[jit]": 1.0, "pure[jit]#2": 1.0})
    with pytest.raises(InputError, match="there is no number of these frameworks"):
        crosstab([alone], "pure", styles=BOTH)

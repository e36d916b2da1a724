"""What is said of a kernel against each framework's own cell and against peers, from results whose ratios are known."""

import msgspec
import numpy as np
import pytest
from matplotlib.axes import Axes
from support.cli import shown
from support.runs import (
    PROGRAM,
    draw_kernels,
    draw_run,
    make_arm,
    make_benchmark,
    make_results,
    plan,
    with_benchmarks,
    with_facts,
    with_provenance,
)
from trigru.bench.analysis.overhead import overheads
from trigru.bench.commands.tables import tables_of
from trigru.bench.reporting.frameworks import framework_tables
from trigru.bench.reporting.kernels import kernel_tables
from trigru.bench.reporting.overhead import overhead_tables
from trigru.bench.reporting.plots.sweep import sweep_figure
from trigru.bench.reporting.sections import markdown

OWN, PEERS = "own cell", "kernel against peers"
MEANS = ": geometric means over workloads"
PURE, NNX = ("question", "forward", "pure[jit]"), ("question", "forward", "nnx[nnx.jit]")


@pytest.fixture
def results(rng):
    """Two ports and two peers in the fused division, and linen in the stock division."""
    return draw_kernels(rng)


def section(results, title):
    """The one table whose title ends, or else begins, like that."""
    found = kernel_tables(results)
    (one,) = [s for s in found if s.title.endswith(title)] or [s for s in found if s.title.startswith(title)]
    return one


def rows(results, title, names=3):
    """The cells of a table by its first ones."""
    return {row[:names]: row[names:] for row in section(results, title).rows}


def test_peers_of_other_equations_and_arms_without_a_number_are_marked(results):
    assert rows(results, PEERS)["question", "train_step", "torch[eager]"][1] == "-"
    said = "haiku[transform]*: other equations (resets before the product), so it is not held to the oracle."
    assert said in section(results, PEERS).notes
    assert said in section(results, PEERS + MEANS).notes


def test_what_is_not_known_of_memory_or_is_none_is_blank(results):
    title = "Temporary memory"
    assert {cells[:3] for cells in rows(with_facts(results, program=None), title).values()} == {("-", "-", "-")}
    empty = msgspec.structs.replace(PROGRAM, temp_bytes=0)
    assert {cells[:3] for cells in rows(with_facts(results, program=empty), title).values()} == {("0 B", "0 B", "-")}


def test_the_share_of_a_kernel_is_that_of_a_matrix_product_also_where_memory_binds(results):
    (facts,) = {(b.facts.flops, b.facts.moved_bytes) for b in results.benchmarks if b.arm.workload.name == "question"}
    bound = with_facts(results, moved_bytes=1e3 * facts[1])
    assert rows(bound, "Temporary memory") == rows(results, "Temporary memory")


def test_what_the_means_leave_out_is_said(results):
    def in_one_process(which):
        alone = [0] * len(results.benchmarks[0].time_s)
        facts = {"process": alone, "calls": [10], "warm_up_calls": [10], "steady": [True]}
        return with_benchmarks(results, [with_facts(b, **facts) if which(b) else b for b in results.benchmarks])

    interrupted = in_one_process(lambda b: b.arm.workload.name == "medium")
    for title in (OWN + MEANS, PEERS + MEANS):
        found = section(interrupted, title)
        assert {row[2] for row in found.rows if row[0] == "forward"} == {"2"}
        assert "Not in the means, since one process alone measured them: medium forward fused." in found.notes
    single = section(in_one_process(lambda b: b.arm.phase == "forward"), OWN + MEANS)
    assert not any(note.startswith("Not in the means") for note in single.notes)


def test_of_one_workload_there_is_no_table_of_means(results):
    one = with_benchmarks(results, [b for b in results.benchmarks if b.arm.workload.name == "question"])
    assert [found.title for found in kernel_tables(one)] == [
        "The fused kernel against each framework's own cell",
        "Temporary memory and GFLOP/s of each framework's own cell and of the fused kernel",
        "The fused kernel against peers",
    ]
    assert "above 1, the kernel is faster" in kernel_tables(one)[0].notes[0]
    assert not any("above 1" in note for note in section(results, OWN).notes), "the table of means says it"


def test_a_mean_against_peers_says_where_arms_have_fewer_workloads(results):
    fewer = [b for b in results.benchmarks if b.name != "nnx[nnx.jit]:fused" or b.arm.workload.name == "question"]
    means = rows(with_benchmarks(results, fewer), PEERS + MEANS, names=2)
    assert means["forward", "torch[eager]"][0] == "1 to 3"
    assert means["train_step", "torch[eager]"][0] == "1"


def test_a_division_alone_has_no_tables_of_another(results, tmp_path):
    alone = with_benchmarks(results, [b for b in results.benchmarks if b.arm.division == "fused"])
    assert framework_tables(alone) == []
    assert kernel_tables(with_benchmarks(results, results.benchmarks[:3])) == []
    assert overheads(alone) == []
    assert tables_of(alone)[0].title.startswith("The fused kernel against each framework's own cell")
    assert sweep_figure(alone) is None


def test_a_sweep_is_of_the_stock_division_alone_and_its_bars_are_the_intervals(tmp_path, monkeypatch):
    drawn, bars, plot, errorbar = [], [], Axes.plot, Axes.errorbar
    monkeypatch.setattr(Axes, "plot", lambda self, *a, **o: drawn.append((o.get("label"), *a)) or plot(self, *a, **o))
    monkeypatch.setattr(Axes, "errorbar", lambda self, *a, **o: bars.extend(a) or errorbar(self, *a, **o))
    names = {"stock": ("pure[jit]", "pure[jit]#2", "linen[apply]"), "fused": ("pure[jit]", "pure[jit]:fused")}
    benchmarks = [
        make_benchmark(
            make_arm(name, f"tiny@hidden={size}", division=division),
            [1e-3] * 6,
            ratio=1 + 0.04 / size,
            ratio_low=1.0,
            ratio_high=1.3,
            flops=float(size),
        )
        for division, of_division in names.items()
        for size in (16, 8)
        for name in of_division
    ]
    swept = with_provenance(
        with_benchmarks(draw_run(1), benchmarks), plan=plan(workloads=("tiny@hidden=16", "tiny@hidden=8"))
    )
    assert sweep_figure(swept) is not None
    per_s = swept.benchmarks[0].facts.steps / 1e-3
    assert drawn == [(name, [8, 16], [per_s, per_s]) for name in ("pure[jit]", "linen[apply]")]
    assert overhead_tables(swept)[1].rows[0][-1] == "8 by estimate"
    assert overhead_tables(swept)[0].title.startswith("Framework overhead on tiny@hidden=8, "), "the smallest"
    sizes, shares, reach = bars
    np.testing.assert_allclose((sizes, shares), ([8, 16], [0.005, 0.0025]), err_msg="each at its own size")
    np.testing.assert_allclose(reach, [[0.005, 0.0025], [0.295, 0.2975]], err_msg="the farther end is the upper one")


def with_others(results, name_of):
    """A run with an arm more for each that has another name, alike but for that."""
    others = [
        make_benchmark(make_arm(name, str(b.arm.workload), b.arm.phase, b.arm.division), b.time_s, b.facts.process)
        for b in results.benchmarks
        if (name := name_of(b.name)) != b.name
    ]
    return with_benchmarks(results, results.benchmarks + others)


def test_a_style_that_lacks_a_phase_has_a_blank_there_and_its_own_cost_in_its_column(rng):
    names = ("pure[jit]", "pure[jit]#2", "linen[apply]")
    phases = {"forward": names, "train_step": (*names, "linen[donated]")}
    arms = [make_arm(name, "tiny", phase) for phase, of_phase in phases.items() for name in of_phase]
    found = make_results([make_benchmark(arm, [1e-4] * 4, ratio=1.0 + 0.1 * (arm.style == "donated")) for arm in arms])
    table = overhead_tables(found)[0]
    cells = {row[0]: dict(zip(map(str, table.columns), row, strict=True)) for row in table.rows}
    assert cells["linen[donated]"]["forward"] == "-"
    assert cells["linen[donated]"]["train_step"].startswith("10.0 [")


def test_each_style_has_means_of_its_own(results):
    found = with_others(results, lambda name: name.replace("nnx.jit", "pytree"))
    means = rows(found, OWN + MEANS, names=2)
    assert means["forward", "nnx[pytree]"] == means["forward", "nnx[nnx.jit]"]
    assert means["forward", "nnx[pytree]"][0] == "3"


def test_all_fits_the_terminal_and_a_page(results):
    text = shown(kernel_tables(results))
    assert "indistinguishable" in text
    assert "nnx[nnx.jit]" in text
    assert "| question | forward | nnx[nnx.jit] |" in markdown("trigru", [], kernel_tables(results))

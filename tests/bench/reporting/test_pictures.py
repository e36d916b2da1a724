"""Pictures: what is drawn is what the numbers are, what moved stands out, and each says in words what it shows."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from support.runs import draw_run, make_arm, make_benchmark, make_results, plan
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.statistics import compare
from trigru.bench.reporting.plots.answer import answer_figure
from trigru.bench.reporting.plots.figures import BLUE, INK, Picture, remove_picture, themed
from trigru.bench.reporting.plots.sweep import sweep_picture

pytestmark = pytest.mark.usefixtures("quick_bootstrap")
SMALL = {"groups": ("tiny/forward",), "processes": 3, "rounds": 5}


def points(axes):
    """Centre and colour of each series with whiskers, in the order of drawing."""
    lines = [container.lines[0] for container in axes.containers]
    return [(line.get_xdata()[0], line.get_color()) for line in lines]


def test_a_sweep_draws_the_cost_of_each_size_with_both_ends_of_its_interval():
    over = {8: np.array([1.9, 2.0, 2.0, 2.3, 2.0, 1.8]), 16: np.array([1.5, 1.5, 1.4, 1.5, 1.7, 1.5])}
    benchmarks = [
        make_benchmark(make_arm(name, f"tiny@hidden={size}"), 1e-3 * (ratios if name == "linen[apply]" else np.ones(6)))
        for size, ratios in over.items()
        for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")
    ]
    run = make_results(benchmarks, plan=plan(workloads=("tiny@hidden=8", "tiny@hidden=16")))
    (drawn,) = (c for axes in sweep_picture(run).figure.axes for c in axes.containers)
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), [1.0, 0.5])
    ends = [segment[:, 1] for segment in drawn.lines[2][0].get_segments()]
    known = [compare(ratios, np.ones(6)) for ratios in over.values()]
    np.testing.assert_allclose(ends, [[found.low - 1, found.high - 1] for found in known])


def test_the_summary_goes_from_the_documented_call_to_the_one_alike():
    found = answer(draw_run(1, **SMALL))
    (row,) = found.rows
    (axes,) = answer_figure(found).axes
    linen, nnx = row.cells["documented"]["linen"], row.cells["documented"]["nnx"]
    ratios = [x for x, _ in points(axes)]
    assert ratios[:3] == [linen.ratio, nnx.ratio, row.cells["functional"]["nnx"].ratio]
    texts = [text.get_text() for text in axes.texts]
    assert len([text for text in texts if "→" in text]) == 2, "linen is documented as it is called alike"
    filled = [container.lines[0].get_markerfacecolor() for container in axes.containers]
    assert [fill != "none" for fill in filled[:3]] == [True, False, True]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_of_the_docs_has_numbers_as_they_are_read(path):
    """And none of the marks that a library sets formulas by."""
    assert "mathdefault" not in path.read_text(encoding="utf-8")


def test_a_figure_is_laid_out_once_whatever_a_user_has_set(tmp_path):
    with matplotlib.rc_context({"figure.autolayout": True, "figure.dpi": 30}):
        figure = answer_figure(answer(draw_run(1, **SMALL)))
        before = figure.axes[0].get_position().bounds
        Picture("summary", figure, "words").write(tmp_path)
    assert figure.get_layout_engine() is None
    placed = figure.axes[0].get_position().bounds
    assert placed != before
    again = answer_figure(answer(draw_run(1, **SMALL)))
    assert 'role="img"' in themed(again, "words", INK)
    assert again.axes[0].get_position().bounds == placed


def test_a_picture_is_two_files_and_those_of_a_theme_have_its_ink_and_no_background(tmp_path):
    figure = answer_figure(answer(draw_run(1, **SMALL)))
    written = Picture("summary", figure, "What <it> shows").write(tmp_path)
    assert [path.name for path in written] == ["summary.png", "summary.svg"]
    assert 'aria-label="What &lt;it&gt; shows"' in written[1].read_text()
    remove_picture("summary", tmp_path)
    assert not list(tmp_path.iterdir())
    dark = themed(figure, "words", "#e3e6ea", dark=True)
    assert BLUE in themed(figure, "words", "#1f2328")
    assert BLUE not in dark
    assert "#e3e6ea" in dark
    assert INK not in dark
    assert "#ffffff" not in dark

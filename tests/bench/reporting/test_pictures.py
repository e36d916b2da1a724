"""Pictures: what is drawn is what the numbers are, what moved stands out, and each says in words what it shows."""

import matplotlib
import pytest
from support.runs import draw_run
from trigru.bench.analysis.answer import answer
from trigru.bench.reporting.plots import BLUE, INK, answer_figure, inline, themed

pytestmark = pytest.mark.usefixtures("quick_bootstrap")
SMALL = {"groups": ("tiny/forward",), "processes": 3, "rounds": 5}


def test_the_summary_goes_from_the_documented_call_to_the_functional_one():
    found = answer(draw_run(1, **SMALL))
    (row,) = found.rows
    (axes,) = answer_figure(found).axes
    linen, nnx = row.cells["documented"]["linen"], row.cells["documented"]["nnx"]
    drawn = [container.lines[0] for container in axes.containers][:3]
    assert [line.get_xdata()[0] for line in drawn] == [linen.ratio, nnx.ratio, row.cells["functional"]["nnx"].ratio]
    assert [line.get_markerfacecolor() != "none" for line in drawn] == [True, False, True]
    texts = [text.get_text() for text in axes.texts]
    assert len([text for text in texts if "→" in text]) == 2, "linen is documented in functional style"
    assert not any(text.get_annotation_clip() for text in axes.texts), "they stand beside the axes"


def test_a_figure_is_laid_out_once_whatever_a_user_has_set():
    with matplotlib.rc_context({"figure.autolayout": True, "figure.dpi": 30}):
        figure = answer_figure(answer(draw_run(1, **SMALL)))
        before = figure.axes[0].get_position().bounds
        inline(figure, "words")
    assert figure.get_layout_engine() is None
    placed = figure.axes[0].get_position().bounds
    assert placed != before
    again = answer_figure(answer(draw_run(1, **SMALL)))
    assert 'role="img"' in themed(again, "words", INK)
    assert again.axes[0].get_position().bounds == placed


def test_pictures_of_a_theme_have_its_ink_and_no_background():
    figure = answer_figure(answer(draw_run(1, **SMALL)))
    dark = themed(figure, "What <it> shows", "#e3e6ea", dark=True)
    assert 'aria-label="What &lt;it&gt; shows"' in dark
    assert BLUE in themed(figure, "words", "#1f2328")
    assert BLUE not in dark
    assert "#e3e6ea" in dark
    assert "mathdefault" not in dark, "numbers are text"
    assert INK not in dark
    assert "#ffffff" not in dark

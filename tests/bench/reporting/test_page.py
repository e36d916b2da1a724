"""The page of a run, with every string as text and nothing that runs; and its
pictures.
"""

from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import msgspec
import pytest
from support.runs import (
    EQUAL,
    SMALL,
    draw_run,
    make_arm,
    make_benchmark,
    with_benchmarks,
    with_facts,
    with_machine,
    with_provenance,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.commands.report import run_page
from trigru.bench.reporting.numbers import format_time
from trigru.bench.reporting.plots import (
    BLUE,
    INK,
    Picture,
    answer_figure,
    inline,
    themed,
)
from trigru.bench.reporting.times import time_tables
from trigru.bench.results.arm import Untimed

HOSTILE = (
    "<img src=x "
    "onerror=alert(1)></script><script>alert(2)</script>\x1b[31m\u202e\" onload='x' "
    "{{7*7}} $x^2_"
)
OWN_ELEMENTS = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "style",
    "body",
    "section",
    "details",
    "summary",
    "h1",
    "h2",
    "h3",
    "p",
    "code",
    "div",
    "figure",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "svg",
    "g",
    "defs",
    "path",
    "use",
    "text",
    "clippath",
    "rect",
}
pytestmark = pytest.mark.usefixtures("quick_bootstrap")


class Page(HTMLParser):
    """What is on a page: each element with its attributes, and each text."""

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.texts = html, [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def page(run):
    return Page(run_page(run))


@pytest.fixture(scope="module")
def run():
    return with_provenance(draw_run(3, processes=3, rounds=5), equality=[EQUAL])


def test_it_has_all_tables_of_a_run_and_its_times(run):
    read = page(run)
    assert {*read.texts} >= {
        "Equality with the NumPy oracle",
        *(section.title for section in time_tables(run)),
    }
    (row, *_) = answer(run).rows
    time = format_time(row.cells["documented"]["nnx"].median_s)
    assert any(
        text.startswith(time)
        for text in read.texts[read.texts.index("Time per call") :]
    )
    parts = (
        "Training updates (each call waited for), ",
        "<svg ",
        "<details>",
        "Same results",
        "<table",
    )
    places = [read.html.index(part) for part in parts]
    assert places == sorted(places), (
        "the answer and its picture first, all else folds out"
    )
    (picture,) = (attributes for tag, attributes in read.elements if tag == "svg")
    assert picture["role"] == "img"
    assert f"NNX {time}" in picture["aria-label"]
    assert "#010203" not in read.html, "ink has the colour of the page's text"
    html = page(with_provenance(run, load=99.0)).html
    warning = html.index('<p class="warning">Busy machine: 99.0 processes on')
    assert warning < html.index("Training updates (each call waited for), "), (
        "before any number"
    )


def test_what_a_file_holds_is_text_and_nothing_runs(run):
    hostile = with_machine(
        with_provenance(
            run, command=[HOSTILE], equality=[replace(EQUAL, check=HOSTILE)]
        ),
        device=HOSTILE,
        versions={"jax": HOSTILE, HOSTILE: "1"},
    )
    benchmarks = []
    for b in run.benchmarks:
        style = HOSTILE if b.arm.style == "nnx.jit" else b.arm.style
        benchmarks.append(
            make_benchmark(
                msgspec.structs.replace(b.arm, style=style), b.time_s, b.process
            )
        )
    untimed = [Untimed(make_arm(f"{HOSTILE}[x]"), HOSTILE)]
    hostile = msgspec.structs.replace(hostile, benchmarks=benchmarks, untimed=untimed)
    read = page(hostile)
    assert {tag for tag, _ in read.elements} <= OWN_ELEMENTS, "no script is among them"
    for tag, attributes in read.elements:
        assert not {name for name in attributes if name.startswith("on")}, tag
        target = attributes.get("src") or attributes.get("href") or ""
        assert not target or target.startswith(("data:", "#"))
    (policy,) = (
        a["content"]
        for _, a in read.elements
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert not {"\x1b", "\u202e"} & {*read.html}
    assert any("<img src=x onerror=alert(1)>" in text for text in read.texts)


def test_the_summary_goes_from_the_documented_call_to_the_functional_one():
    run = draw_run(1, **SMALL)
    wide = [
        with_facts(b, low=0.9 * b.comparison.ratio, high=1.3 * b.comparison.ratio)
        for b in run.benchmarks
    ]
    found = answer(with_benchmarks(run, wide))
    (row,) = found.rows
    (axes,) = answer_figure(found).axes
    linen, nnx = row.cells["documented"]["linen"], row.cells["documented"]["nnx"]
    drawn = [container.lines[0] for container in axes.containers][:3]
    assert [line.get_xdata()[0] for line in drawn] == [
        linen.comparison.ratio,
        nnx.comparison.ratio,
        row.cells["functional"]["nnx"].comparison.ratio,
    ]
    assert [line.get_markerfacecolor() != "none" for line in drawn] == [
        True,
        False,
        True,
    ]
    interval = axes.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert interval.tolist() == pytest.approx(
        [linen.comparison.low, linen.comparison.high]
    )
    texts = [text.get_text() for text in axes.texts]
    assert axes.figure.get_suptitle() == "○ as documented    ● functional style"
    assert len([text for text in texts if "→" in text]) == 2, (
        "linen is documented in functional style"
    )
    assert not any(text.get_annotation_clip() for text in axes.texts), (
        "they stand beside the axes"
    )


def test_a_figure_is_laid_out_once_whatever_a_user_has_set():
    with matplotlib.rc_context({"figure.autolayout": True, "figure.dpi": 30}):
        figure = answer_figure(answer(draw_run(1, **SMALL)))
        before = figure.axes[0].get_position().bounds
        inline(Picture(figure, "words"))
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

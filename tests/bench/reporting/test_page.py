"""The page of a run, with every string as text and nothing that runs; and its
pictures.
"""

import hashlib
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import msgspec
import numpy as np
import pytest
from support.runs import (
    EQUAL,
    SMALL,
    draw_run,
    make_arm,
    make_benchmark,
    with_machine,
    with_provenance,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.reporting.answer_page import answer_page
from trigru.bench.reporting.bars import answer_picture
from trigru.bench.reporting.numbers import format_time
from trigru.bench.reporting.page import SCRIPT
from trigru.bench.reporting.plots import BLUE, INK, themed
from trigru.bench.reporting.times import all_tables
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
    "pre",
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
    "main",
    "small",
    "span",
    "br",
    "b",
    "button",
    "script",
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
    return Page(answer_page(run))


@pytest.fixture(scope="module")
def run():
    return with_provenance(draw_run(3, processes=3, rounds=5), equality=[EQUAL])


def test_the_answer_comes_first_and_all_else_folds_out(run):
    html = answer_page(run)
    parts = (
        "<h1>The same GRU in ",
        "<h2>Training <small>each call waited for</small>",
        "<svg ",
        "<h2>What to write",
        "<details><summary>Why is one slower?",
        "<details><summary>How sure is this?",
        "<details><summary>What was checked before timing?",
        "<details><summary>All times",
        "<details><summary>Machine and versions",
    )
    places = [html.index(part) for part in parts]
    assert places == sorted(places)


def test_it_has_all_tables_of_a_run(run):
    titles = {section.title for section in all_tables(answer(run))}
    assert titles <= {*page(run).texts}
    assert "Equality with the NumPy oracle" in page(run).texts


def test_a_wide_and_a_narrow_picture_tell_the_times_in_words(run):
    read = page(run)
    pictures = [attributes for tag, attributes in read.elements if tag == "svg"]
    shown = [
        attributes["class"] for tag, attributes in read.elements if tag == "figure"
    ]
    assert shown == ["wide", "narrow"]
    row = answer(run).situations[0].rows[0]
    time = format_time(row.rankings["documented"].time_s("nnx"))
    for picture in pictures:
        assert picture["role"] == "img"
        assert f"NNX {time}" in picture["aria-label"]
    assert INK not in read.html, "ink has the colour of the page's text"


def test_a_failed_proof_comes_before_any_number(run):
    failed = with_provenance(run, equality=[replace(EQUAL, error=1.0)])
    html = answer_page(failed)
    warning = html.index('<p class="warning">FAILED: ')
    assert warning < html.index("<h2>Training")


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
    assert {tag for tag, _ in read.elements} <= OWN_ELEMENTS
    assert read.html.count("<script>") == 1, "the one that copies code"
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
    digest = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'"), "no other script runs"
    assert f"<script>{SCRIPT}</script>" in read.html
    assert not {"\x1b", "\u202e"} & {*read.html}
    assert any("<img src=x onerror=alert(1)>" in text for text in read.texts)


def drawn(width):
    shown = answer(draw_run(1, **SMALL))
    (axes,) = answer_picture(shown, width).figure.axes
    return shown.situations[0].rows[0], axes


def bars_of(axes):
    """The bars, without the fields on which they stand."""
    return [bar for bar in axes.patches if bar.get_alpha() is None]


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_bars_are_as_long_as_times(width):
    row, axes = drawn(width)
    times_s = []
    for label in ("documented", "functional"):
        ranking = row.rankings[label]
        times_s += [ranking.time_s(port) for port in ranking.benchmarks]
    widths = np.array([bar.get_width() for bar in bars_of(axes)])
    assert widths / widths[0] == pytest.approx(np.array(times_s) / times_s[0])
    assert max(widths) < max(bar.get_width() for bar in axes.patches)


def test_intervals_and_the_line_of_plain_jax_have_the_scale_of_the_bars():
    row, axes = drawn("wide")
    ranking = row.rankings["documented"]
    assert ranking.leader == "linen"
    bar, nnx_bar, *_ = bars_of(axes)
    scale = bar.get_width() / ranking.time_s("linen")
    over = ranking.over_leader["nnx"].comparison
    intervals = [line for line in axes.lines if line.get_linestyle() == "-"]
    ends = np.array([line.get_xdata() for line in intervals[:2]]) - bar.get_x()
    assert ends[0] == pytest.approx(bar.get_width()), "the fastest has none"
    expected = nnx_bar.get_width() * np.array([over.low, over.high]) / over.ratio
    assert ends[1] == pytest.approx(expected)
    (dashed, *_) = [line for line in axes.lines if line.get_linestyle() == "--"]
    plain = dashed.get_xdata()[0] - bar.get_x()
    assert plain == pytest.approx(row.baseline.call_s * scale)


def test_the_fastest_and_what_is_not_told_apart_from_it_are_bold():
    row, axes = drawn("wide")
    expected = []
    for ranking in row.rankings.values():
        for port in ranking.benchmarks:
            weight = "bold" if port in ranking.best else "normal"
            expected.append((format_time(ranking.time_s(port)), weight))
    times = {time for time, _ in expected}
    drawn_times = []
    for text in axes.texts:
        if text.get_text() in times:
            drawn_times.append((text.get_text(), text.get_weight()))
    assert drawn_times == expected


def test_a_picture_is_as_it_is_whatever_a_user_has_set():
    shown = answer(draw_run(1, **SMALL))
    picture = answer_picture(shown)
    usual = themed(picture.figure, picture.description, INK)
    with matplotlib.rc_context({"figure.autolayout": True, "figure.dpi": 30}):
        again = answer_picture(shown)
        assert themed(again.figure, again.description, INK) == usual


def test_pictures_of_a_theme_have_its_ink_and_no_background():
    figure = answer_picture(answer(draw_run(1, **SMALL))).figure
    dark = themed(figure, "What <it> shows", "#e3e6ea", dark=True)
    assert 'aria-label="What &lt;it&gt; shows"' in dark
    assert BLUE in themed(figure, "words", "#1f2328")
    assert BLUE not in dark
    assert "#e3e6ea" in dark
    assert "mathdefault" not in dark, "numbers are text"
    assert INK not in dark
    assert "#ffffff" not in dark

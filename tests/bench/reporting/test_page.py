"""The page of a run: every table of it, every string as text, no script and nothing from elsewhere."""

from dataclasses import replace

import msgspec
import pytest
from support.pages import Page
from support.runs import (  # fmt: skip
    EQUAL,
    draw_kernels,
    draw_run,
    make_arm,
    make_benchmark,
    with_benchmarks,
    with_machine,
    with_provenance,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.commands.report import run_page, tables_of
from trigru.bench.reporting.numbers import format_time
from trigru.bench.results.arm import Untimed

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\x1b[31m\u202e\" onload='x' {{7*7}} $x^2_"
OWN_ELEMENTS = {
    "html", "head", "meta", "title", "link", "style", "body", "section", "details", "summary", "h1", "h2", "h3", "p",
    "code", "div", "figure", "table", "thead", "tbody", "tr", "th", "td", "svg", "g", "defs", "path", "use", "text",
    "clippath", "rect",
}  # fmt: skip
pytestmark = pytest.mark.usefixtures("quick_bootstrap")


def page(run):
    return Page(run_page(run))


@pytest.fixture(scope="module")
def run():
    return with_provenance(draw_run(3, processes=3, rounds=5), equality=[EQUAL])


def test_it_has_all_tables_of_a_run_and_its_times(run):
    read = page(run)
    assert {*read.tables} >= {section.title for section in tables_of(run)}
    (row, *_) = answer(run).rows
    shown = read.rows("Time per call")[0]["nnx[documented]"]
    assert shown.startswith(time := format_time(row.cells["documented"]["nnx"].time_s))
    parts = [
        read.html.index(part) for part in ("Training (waited for): ", "<svg ", "<details>", "Proven equal", "<table")
    ]
    assert parts == sorted(parts), "the answer and its picture first, all else folds out"
    (picture,) = (attributes for tag, attributes in read.elements if tag == "svg")
    assert picture["role"] == "img"
    assert f"NNX {time}" in picture["aria-label"]
    assert "#010203" not in read.html, "ink has the colour of the page's text"
    html = page(with_provenance(run, load_after=99.0)).html
    warning = html.index('<p class="warning">Busy machine: 99.0 processes on')
    assert warning < html.index("Training (waited for): "), "before any number"


def test_what_a_file_holds_is_text_and_nothing_runs(run):
    hostile = with_machine(
        with_provenance(run, command=[HOSTILE], equality=[replace(EQUAL, check=HOSTILE)]),
        device=HOSTILE, versions={"jax": HOSTILE, HOSTILE: "1"},
    )  # fmt: skip
    benchmarks = []
    for b in run.benchmarks:
        style = HOSTILE if b.arm.style == "nnx.jit" else b.arm.style
        benchmarks.append(make_benchmark(msgspec.structs.replace(b.arm, style=style), b.time_s, b.process))
    untimed = [Untimed(make_arm(f"{HOSTILE}[x]"), HOSTILE)]
    hostile = msgspec.structs.replace(with_benchmarks(hostile, benchmarks), untimed=untimed)
    read = page(hostile)
    assert {tag for tag, _ in read.elements} <= OWN_ELEMENTS, "no script is among them"
    for tag, attributes in read.elements:
        assert not {name for name in attributes if name.startswith("on")}, tag
        target = attributes.get("src") or attributes.get("href") or ""
        assert not target or target.startswith(("data:", "#"))
    (policy,) = (a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert not {"\x1b", "\u202e"} & {*read.html}
    assert "<img src=x onerror=alert(1)>" in read.text


def test_a_kernel_has_its_own_tables(rng):
    assert "The fused kernel against each framework's own cell" in page(draw_kernels(rng)).tables

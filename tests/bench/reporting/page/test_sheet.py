"""A small page: its tables, pictures and sentences, every string as text, and no script."""

from support.pages import Page
from support.runs import draw_run
from trigru.bench.analysis.diff import diff
from trigru.bench.reporting.page.sheet import sheet
from trigru.bench.reporting.plots.diff import diff_picture
from trigru.bench.reporting.sections import Section

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e{{7*7}}"


def test_it_has_what_it_is_given_as_text_and_runs_nothing():
    table = Section(f"A table {HOSTILE}", ("what", "number"), [(HOSTILE, "1"), ("b", "FAILED")], (HOSTILE,))
    found = Page(sheet("a title", [HOSTILE, "- an item"], [], [table], [HOSTILE]))
    assert not [tag for tag, _ in found.elements if tag == "script"]
    (policy,) = (a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "script-src 'none'" in policy
    assert "\x1b" not in found.html
    assert "\u202e" not in found.html
    assert "<script>alert(1)</script>" in found.text
    ((title, _),) = found.tables.items()
    assert title.startswith("A table <script>")
    assert found.rows(title)[0]["number"] == "1"


def test_its_pictures_say_what_they_show():
    old = draw_run(1, groups=("tiny/forward",), processes=3, rounds=5)
    new = draw_run(2, {"linen": 1.5}, groups=("tiny/forward",), processes=3, rounds=5)
    html = sheet("what changed", [], [diff_picture(diff(old, new))], [], [])
    (picture,) = (attributes for tag, attributes in Page(html).elements if tag == "svg")
    assert picture["role"] == "img"
    assert "linen[apply] 1.5" in picture["aria-label"]

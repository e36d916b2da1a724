"""Text of strangers does nothing where it is shown."""

import pytest
from support.cli import shown
from trigru.bench.reporting.console import (
    Progress,
    Prose,
    Section,
    say,
)
from trigru.bench.reporting.exports import for_csv
from trigru.bench.reporting.markdown import for_markdown, markdown
from trigru.common.errors import for_terminal

HOSTILE = (
    "\x1b[31mred",
    "\x07",
    "\x9b2J",
    "a\rb",
    "a\nb",
    "\u202eevil",
    "\u2028",
    "\ud800",
    "\u200b",
    "\x00",
    "\x7f",
)
FINE = ("time / pure[jit]", "µs ± × → ≤", "日本語", "é", "🙂", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_gets_no_character_that_does_something(text, capsys):
    assert for_terminal(text) != text
    assert for_terminal(text).isprintable()
    say(f"before {text} after")
    screen = shown([Section(text, ("a", Prose(text)), [("b", text)], (text,))])
    assert (capsys.readouterr().err + screen).replace("\n", "").isprintable()


def test_a_page_has_no_markup_but_ours():
    for text in (
        "<script>alert(1)</script>",
        "a\n# heading",
        "[x](http://evil)",
        "> quote",
        "a|b",
    ):
        page = markdown(
            "trigru", [text], [Section(text, ("a", text), [("b", text)], (text,))]
        )
        lines = page.splitlines()
        assert sum(line.startswith("#") for line in lines) == 2
        assert not any(part in page for part in ("<script", "](", "\n>"))
        (row,) = (line for line in lines if line.startswith("| b "))
        assert row.replace("\\|", "").count("|") == 3


PLAIN = {
    "**bold** and _so_": r"\*\*bold\*\* and \_so\_",
    "___": r"\_\_\_",
    "8.5]* of train_step, tiny~1": r"8.5]\* of train_step, tiny\~1",
    "~~gone~~": r"\~\~gone\~\~",
    "```": r"\`\`\`",
    "    code": "code",
    "   # heading": r"\# heading",
    "[x]: http://evil": r"\[x]: http:\//evil",
    "[a][b]": r"\[a]\[b]",
    "www.evil.com": r"www\.evil.com",
    r"a\|b": r"a\\\|b",
    r"\`x`": r"\\\`x\`",
    "12) x": r"12\) x",
    "8.5 ms": "8.5 ms",
}


def test_what_markdown_or_a_spreadsheet_would_read_as_more_than_text_is_escaped():
    assert {text: for_markdown(text) for text in PLAIN} == PLAIN
    for text in FINE:
        assert for_terminal(text) == for_markdown(text) == text
    for formula in (
        f"{before}{start}SUM(1+1)" for before in ("", "  ") for start in "=+-@＝＋－＠"
    ):
        assert for_csv(formula) == f"'{formula}"


def test_progress_goes_to_a_share_or_on_by_one():
    with Progress("x") as progress:
        for go in (
            lambda: progress.to(0.5, "a"),
            lambda: progress.to(0.5, "b"),
            lambda: progress.add("c", 0.25),
        ):
            go()
        assert progress._bar.tasks[0].completed == 0.75


def test_where_nobody_watches_a_line_says_how_far_it_is(capsys, monkeypatch):
    with Progress("x") as progress:
        task = progress._bar.tasks[0]
        monkeypatch.setattr(type(task), "elapsed", 6.0)
        progress.to(0.25, "tiny")
        progress.to(0.5, "never said so soon")
    assert (
        capsys.readouterr().err.splitlines()[0]
        == "25 % after 6 s, about 18 s left: tiny"
    )

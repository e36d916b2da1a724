"""The answer says the same everywhere: in the sentences and the table of the README, in
its picture, and on the page of a report.

Each is read as a reader sees it: the sizes, whether calls are waited for, and which
framework is the fastest.
"""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from published import DOCS, RESULTS
from support.cli import call

NAMES = ("linen", "NNX", "Equinox")
STYLES = ("As documented", "In functional style")
CLOCKS = ("each call waited for", "calls in a loop")
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
TEXT = "{http://www.w3.org/2000/svg}text"


class Place(NamedTuple):
    """What is compared."""

    subject: str  # "Training"
    clock: str  # one of CLOCKS
    sizes: str  # "1 sequence of 50 steps, 20 inputs, 200 units"
    style: str  # one of STYLES


@dataclass
class Outcome:
    """What is said of a place: the fastest frameworks, and the factors of others."""

    fastest: set[str] = field(default_factory=set)
    factors: dict[str, float] = field(default_factory=dict)


def clock_of(words):
    """The clock that words begin with."""
    (clock,) = [clock for clock in CLOCKS if words.startswith(clock)]
    return clock


def generated(name):
    """A generated part of the README."""
    marked = rf"<!-- generated: {name} -->\n\n(.*?)\n\n<!-- end -->"
    (part,) = re.findall(marked, README, re.DOTALL)
    return part


# The README's table


def read_table():
    """By place, what the README's table has."""
    outcomes = {}
    rows = re.findall(r"^\| (One step|Training) \((.*?)\): (.*) \|$", TABLE, re.M)
    for subject, clock, rest in rows:
        sizes, *cells = rest.split(" | ")
        outcome = Outcome()
        for name, cell in zip(NAMES, cells, strict=True):
            if cell.startswith("**"):
                outcome.fastest.add(name)
            for factor in re.findall(r"([\d.]+)x", cell):
                outcome.factors[name] = float(factor)
        outcomes[Place(subject, clock_of(clock), sizes, STYLES[0])] = outcome
    return outcomes


TABLE = generated("answer_rows")


# Pictures


def lines_of(picture):
    """The lines of text of a picture from above, each from left to right.

    A line has texts, with whether each is bold.
    """
    lines = {}
    for text in ElementTree.fromstring(picture).iter(TEXT):
        is_bold = "font-weight: 700" in text.get("style")
        y = round(float(text.get("y")))
        lines.setdefault(y, []).append((float(text.get("x")), text.text, is_bold))
    for _, texts in sorted(lines.items()):
        yield [(text, is_bold) for _, text, is_bold in sorted(texts)]


def read_picture(picture):
    """By place, what a picture of bars shows."""
    outcomes = {}
    subject = clock = sizes = None
    for (first, _), *rest in lines_of(picture):
        heading = re.fullmatch(r"(One step|Training): (.*)", first)
        if heading:
            subject, clock = heading[1], clock_of(heading[2])
        elif re.match(r"\d+ sequence", first):
            sizes = first
        elif first in NAMES:
            styles = iter(STYLES)
            for text, is_bold in rest:
                if text.endswith("×"):
                    outcome.factors[first] = float(text.removesuffix("×"))
                    continue
                place = Place(subject, clock, sizes, next(styles))
                outcome = outcomes.setdefault(place, Outcome())
                if is_bold:
                    outcome.fastest.add(first)
    return outcomes


# Sentences


def check_sentences(subject, clock, text, outcomes):
    """Sentences on a subject say of each of its places what a picture shows there."""
    text = re.sub(r" \(.*?\)", "", text)  # by how much the others are slower
    said = set()
    for style in STYLES:
        (sentence,) = re.findall(rf"{style}, (.*?)\.(?: |$)", text)
        for clause in sentence.split("; "):
            where, outcome = re.fullmatch(r"(?:with (.*?), )?(\D.*)", clause).groups()
            for place, shown in outcomes.items():
                if (place.subject, place.style) != (subject, style):
                    continue
                if where and not is_within(place.sizes, where):
                    continue
                assert place.clock == clock
                assert place not in said
                said.add(place)
                check_outcome(outcome, shown)
    assert said == {place for place in outcomes if place.subject == subject}


def is_within(sizes, words):
    """Whether sizes have one of the numbers in words, as "8 and 200 units"."""
    noun = words.split()[-1].removesuffix("s")
    return any(
        re.search(rf"\b{number} {noun}", sizes) for number in re.findall(r"\d+", words)
    )


def check_outcome(words, shown):
    """What a sentence says of a place is what a picture shows there."""
    most = re.fullmatch(
        r"no framework takes more than about ([\d.]+) times as long as the fastest",
        words,
    )
    if most:
        assert max(shown.factors.values(), default=1.0) <= float(most[1])
    elif words.startswith("no difference was found"):
        assert shown.fastest == set(NAMES)
    else:
        assert "the fastest" in words
        assert {name for name in NAMES if name in words} == shown.fastest, words


@pytest.fixture(scope="module")
def in_readme():
    """By place, what the picture of the README shows."""
    return read_picture((DOCS / "answer.svg").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page that `trigru report` makes of the published run."""
    folder = tmp_path_factory.mktemp("report")
    left, _, _ = call("report", f"{RESULTS}/cpu.json.gz", "--output", str(folder))
    assert left == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_picture_of_the_readme_has_two_sizes_of_one_step_and_of_training(in_readme):
    assert len(in_readme) == 8
    assert {place.subject: place.clock for place in in_readme} == {
        "One step": "each call waited for",
        "Training": "calls in a loop",
    }
    for outcome in in_readme.values():
        assert outcome.fastest


def test_the_table_of_the_readme_says_what_its_picture_shows(in_readme):
    documented = {p: o for p, o in in_readme.items() if p.style == STYLES[0]}
    assert len(documented) == 4
    assert read_table() == documented


def test_the_sentences_of_the_readme_say_what_its_picture_shows(in_readme):
    paragraphs = re.findall(r"\*\*(.*?)\*\* \((.*?)\)\. (.*)", generated("sentences"))
    assert [subject for subject, _, _ in paragraphs] == ["One step", "Training"]
    for subject, clock, text in paragraphs:
        check_sentences(subject, clock_of(clock), text, in_readme)


def test_the_page_of_the_run_shows_what_the_readme_shows(page, in_readme):
    on_page = read_picture(re.search(r"<svg.*?</svg>", page, re.DOTALL)[0])
    assert {place: on_page.get(place) for place in in_readme} == in_readme
    sections = re.findall(
        r"<h2>([\w ]+) <small>(.*?)</small></h2>\s*((?:<p class=\"lead\">.*</p>)+)",
        page,
    )
    subjects = [subject for subject, _, _ in sections]
    assert subjects[:3] == ["What is compared", "One step", "Training"]
    for subject, clock, paragraphs in sections[1:3]:
        text = re.sub(r"</?code>", "`", paragraphs)
        text = " ".join(unescape(re.sub(r"<.*?>", " ", text)).split())
        check_sentences(subject, clock_of(clock), text, on_page)

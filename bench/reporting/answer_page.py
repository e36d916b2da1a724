"""The page of a run: its answer in sentences and a picture, what to write, and all
else folded.
"""

from ..analysis.answer import Answer, answer
from ..analysis.benchmarks import Results
from .advice import what_to_write
from .bars import answer_picture
from .console import Prose, Section, Words
from .equality import equality_tables
from .naming import CALLED, measured_on, name_of, provenance_lines
from .numbers import count
from .page import Fold, Page, Paragraphs, html_of, origin_fold
from .remarks import compared_lines, proof_line, sure_lines, title_of, warnings
from .sentences import SUBJECTS, told
from .sizes import in_words
from .times import (
    arm_tables,
    cause_text,
    overhead_tables,
    pair_tables,
    speedup_tables,
)


def answer_page(run: Results) -> str:
    """The HTML of the page of a run."""
    shown = answer(run)
    lead = [Paragraphs(compared_lines(shown), "What is compared")]
    for situation in told(shown):
        lead.append(Paragraphs(situation.sentences, situation.subject, situation.loop))
    pictures = []
    if shown.rows:
        pictures.append(("wide", answer_picture(shown, "wide")))
        pictures.append(("narrow", answer_picture(shown, "narrow")))
    page = Page(
        title=title_of(shown),
        origin=measured_on(run),
        warnings=warnings(shown),
        lead=lead,
        pictures=pictures,
        written=what_to_write(shown),
        sections=[*overhead_tables(run), *speedup_tables(run)],
        folds=_folds(shown),
    )
    return html_of(page)


def _folds(answer: Answer) -> list[Fold]:
    """What folds out below the answer."""
    run = answer.run
    why = why_table(answer)
    measured = run.trigru.begun.equality or []
    proof = proof_line(answer)
    return [
        Fold(
            "Why is one slower?",
            "the cause of each difference, and how many µs it takes",
            [why] if why.rows else [],
        ),
        Fold(
            "How sure is this?",
            "each framework against each other, with 95 % intervals",
            pair_tables(answer),
            sure_lines(answer),
        ),
        Fold(
            "What was checked before timing?",
            count(len(measured), "check"),
            equality_tables(measured),
            [proof] if proof else (),
        ),
        Fold(
            "All times",
            "every call style at every size, waited for and in a loop",
            arm_tables(run),
        ),
        origin_fold(provenance_lines(run)),
    ]


def why_table(answer: Answer) -> Section:
    """The cause of each framework's difference from the fastest."""
    rows: list[tuple[str, ...]] = []
    for situation in answer.situations:
        for row in situation.rows:
            place = f"{SUBJECTS[row.phase]}, {in_words(row)}"
            for label, ranking in row.rankings.items():
                for port, d in ranking.slower.items():
                    more = f"{1e6 * d.difference_s:+.1f} µs"
                    names = f"{name_of(port)} over {name_of(ranking.leader or '')}"
                    rows.append((place, CALLED[label], names, more, cause_text(d)))
    columns = (
        Prose("situation"),
        Words("called"),
        Words("slower"),
        "a call",
        Prose("cause"),
    )
    return Section("Why the others are slower than the fastest", columns, rows)

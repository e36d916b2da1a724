"""Sentences on which framework is the fastest, for each situation and call style."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from ...common.errors import listed
from ...common.port.names import DOCUMENTED, FUNCTIONAL
from ..analysis.answer import COMPARED, Answer, AnswerRow, Situation
from ..analysis.comparison import TimeComparison
from ..analysis.ranking import Ranking
from ..results.grouping import grouped
from .naming import name_of
from .numbers import format_factor, from_to, times_as_long
from .sizes import where

#: What sentences call phases.
SUBJECTS = {
    "step": "One step",
    "train_step": "Training",
    "forward": "Forward pass",
    "gradient": "Gradient",
}
#: What a loop of calls does, by the clock.
LOOPS = {
    "blocked": "each call waited for",
    "pipelined": "calls in a loop, none waited for",
}
#: The same in a heading.
SHORT = {"blocked": "each call waited for", "pipelined": "calls in a loop"}
#: How a sentence on a call style begins.
CALLS = {
    DOCUMENTED: "As documented",
    FUNCTIONAL: "In functional style",
}
#: Where no framework takes more than so many times the time of the fastest, a sentence
#: says so instead of which is the fastest.
NEAR = 1.15
#: The way of calling matters more where documented calls differ so many times as much,
#: in log time, as those in functional style do.
MATTERS = 2.0


@dataclass(frozen=True)
class Told:
    """What is said of one situation."""

    subject: str  # "Training"
    loop: str  # "calls in a loop, none waited for"
    sentences: list[str]  # in which code stands between grave accents


def told(answer: Answer) -> list[Told]:
    """What is said of each situation of a run."""
    texts = []
    for situation in answer.situations:
        sentences = _sentences(situation)
        if sentences:
            subject = SUBJECTS[situation.phase]
            texts.append(Told(subject, LOOPS[situation.clock], sentences))
    return texts


def _sentences(situation: Situation) -> list[str]:
    rows = situation.rows
    sentences = []
    if all(row.is_noisy and not _shows_difference(row) for row in rows):
        floors = [row.baseline.floor for row in rows]
        hidden = from_to(floors, "{:.0%}".format)
        return [
            "No answer can be given: the machine was so busy that differences of less "
            f"than {hidden} do not show. Run it again on an idle one."
        ]
    if _calling_matters_more(rows):
        names = listed(map(name_of, _with_two_calls(rows)))
        sentences.append(
            f"How you call {names} matters more than which framework you use."
        )
    for label in COMPARED:
        of_label = [row for row in rows if _compares(row, label)]
        if of_label:
            sentences.append(_sentence(label, of_label))
    sentences += _noise(rows)
    return sentences


def _compares(row: AnswerRow, label: str) -> bool:
    """Whether at least two frameworks are compared in a call style."""
    ranking = row.rankings.get(label)
    return ranking is not None and bool(ranking.pairs)


def _shows_difference(row: AnswerRow) -> bool:
    return any(ranking.slower for ranking in row.rankings.values())


def _sentence(label: str, rows: Sequence[AnswerRow]) -> str:
    """Which frameworks are the fastest in a call style, and what the others take."""
    rankings = [row.rankings[label] for row in rows]
    if any(ranking.leader is None for ranking in rankings):
        return f"{CALLS[label]}: too few rounds were measured to tell."

    by_outcome = grouped(rows, lambda row: _outcome(row.rankings[label]))
    clauses = []
    for alike in by_outcome.values():
        clause = _clause([row.rankings[label] for row in alike])
        if len(by_outcome) > 1:
            clause = f"{where(alike, rows)}, {clause}"
        clauses.append(clause)
    return f"{CALLS[label]}, {'; '.join(clauses)}."


def _outcome(ranking: Ranking) -> tuple[str, ...]:
    """What a sentence says of a ranking: rows with the same are told together."""
    return ("near", *_compared(ranking)) if _is_near(ranking) else tuple(ranking.best)


def _is_near(ranking: Ranking) -> bool:
    return ranking.spread < NEAR or not ranking.slower


def _compared(ranking: Ranking) -> list[str]:
    return [port for port in ranking.benchmarks if port not in ranking.not_compared]


def _clause(rankings: Sequence[Ranking]) -> str:
    """What is said of rows that have the same outcome."""
    if not any(ranking.slower for ranking in rankings):
        names = listed(map(name_of, _compared(rankings[0])))
        return f"no difference was found between {names}"
    if all(map(_is_near, rankings)):
        most = format_factor(max(ranking.spread for ranking in rankings))
        leaders = {tuple(ranking.best) for ranking in rankings}
        if len(leaders) == 1 and len(rankings[0].best) == 1:
            (leader,) = rankings[0].best
            return (
                f"{name_of(leader)} is the fastest, and no other takes more than about "
                f"{most} times as long"
            )
        return f"no framework takes more than about {most} times as long as the fastest"
    best = rankings[0].best
    names = listed(map(name_of, best))
    if len(best) == 1:
        return f"{names} is the fastest ({_slower(rankings)})"
    return f"{names} are the fastest and cannot be told apart ({_slower(rankings)})"


def _slower(rankings: Sequence[Ranking]) -> str:
    """The slower frameworks, as "NNX takes 2.8 times as long, Equinox 1.15 times"."""
    comparisons: dict[str, list[TimeComparison]] = {}
    for ranking in rankings:
        for port, d in ranking.slower.items():
            comparisons.setdefault(port, []).append(d.comparison)
    (first, of_first), *others = comparisons.items()
    texts = [f"{name_of(first)} takes {times_as_long(of_first)} as long"]
    for port, of_port in others:
        texts.append(f"{name_of(port)} {times_as_long(of_port)}")
    return ", ".join(texts)


def _noise(rows: Sequence[AnswerRow]) -> list[str]:
    """Where noise hides differences by which one would choose."""
    noisy = [row for row in rows if row.is_noisy]
    if not noisy:
        return []
    hidden = from_to([row.baseline.floor for row in noisy], "{:.0%}".format)
    place = "" if len(noisy) == len(rows) else f" {where(noisy, rows)}"
    return [
        f"The machine was busy{place}: differences of less than {hidden} do not show."
    ]


def _with_two_calls(rows: Sequence[AnswerRow]) -> list[str]:
    """The ports whose documented call is another one than their functional call."""
    ports = {}
    for row in rows:
        functional = row.rankings[FUNCTIONAL].benchmarks
        for port, b in row.rankings[DOCUMENTED].benchmarks.items():
            if functional.get(port) is not b:
                ports[port] = None
    return list(ports)


def _calling_matters_more(rows: Sequence[AnswerRow]) -> bool:
    """Whether documented calls were shown to differ, and far more than those in
    functional style.
    """
    for row in rows:
        if not all(_compares(row, label) for label in COMPARED):
            return False
        documented = row.rankings[DOCUMENTED]
        functional = row.rankings[FUNCTIONAL]
        if not documented.slower:
            return False
        if log(documented.spread) < MATTERS * log(functional.spread):
            return False
    return True

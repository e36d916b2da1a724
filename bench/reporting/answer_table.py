"""The times of an answer: a table for each phase and size."""

from ..analysis.answer import COMPARED, Answer, AnswerRow, Situation
from ..analysis.comparison import TimeComparison
from ..analysis.ranking import Ranking
from .console import Best, Section, Words
from .naming import CALLED, name_of
from .numbers import format_factor, format_time, is_wide
from .sentences import SHORT, SUBJECTS
from .sizes import in_words


def answer_tables(answer: Answer) -> list[Section]:
    """The times of all frameworks: a table for each size of each situation."""
    sections = []
    for situation in answer.situations:
        for row in situation.rows:
            sections.append(_table(answer, situation, row))
    return sections


def _table(answer: Answer, situation: Situation, row: AnswerRow) -> Section:
    """A row for each call style, a column for each framework."""
    plain = Words(f"plain JAX {format_time(row.baseline.call_s)}")
    title = f"{SUBJECTS[situation.phase]}, {in_words(row)}; {SHORT[situation.clock]}"
    rows = []
    for label in COMPARED:
        ranking = row.rankings.get(label)
        if ranking is None:
            continue
        cells = [cell(ranking, port) for port in answer.ports]
        rows.append((CALLED[label], *cells))
    return Section(title, (plain, *map(name_of, answer.ports)), rows)


def cell(ranking: Ranking, port: str) -> str:
    """A time. The fastest, and what cannot be told apart from it, are marked; a slower
    one has its ratio to the fastest.
    """
    if port not in ranking.benchmarks:
        return "-"
    time = format_time(ranking.time_s(port))
    if port in ranking.not_compared:
        return f"({time})"
    if port in ranking.best:
        return Best(f"{time} *")
    if port in ranking.slower:
        return f"{time} {factor_text(ranking.slower[port].comparison)}"
    return time


def factor_text(comparison: TimeComparison) -> str:
    """How many times as long something takes, as "5.7x"; "3.0-12x" where the interval
    is wide.
    """
    if is_wide(comparison):
        low, high = format_factor(comparison.low), format_factor(comparison.high)
        return f"{low}-{high}x"
    return f"{format_factor(comparison.ratio)}x"

"""What to call instead of a framework's documented call, where that saves time."""

from msgspec import Struct

from ...common.port.names import DOCUMENTED
from .answer import Answer, AnswerRow
from .benchmarks import Benchmark
from .comparison import TimeComparison

#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1


class Suggestion(Struct, frozen=True):
    """The call to write with one framework."""

    benchmark: Benchmark
    documented: Benchmark
    #: The documented call's time over its own; None where it is the documented call.
    saving: TimeComparison | None


class Advice(Struct, frozen=True):
    """The calls to write, where they save the largest share of the time."""

    row: AnswerRow
    suggestions: list[Suggestion]  # one for each framework


def advice_of(answer: Answer) -> Advice | None:
    """What to call with each framework; None where the documented calls are as good.

    It is measured in the row where that saves the largest share.
    """
    advice = None
    largest = 1.0
    for situation in answer.situations:
        for row in situation.rows:
            suggestions = _suggestions(row)
            savings = [s.saving.ratio for s in suggestions if s.saving is not None]
            if savings and max(savings) > largest:
                largest = max(savings)
                advice = Advice(row, suggestions)
    return advice


def _suggestions(row: AnswerRow) -> list[Suggestion]:
    documented = row.rankings.get(DOCUMENTED)
    if documented is None:
        return []
    suggestions = []
    for port, b in documented.benchmarks.items():
        alternative = row.alternatives.get(port)
        suggestion = Suggestion(b, b, None)
        if alternative is not None:
            d = alternative.difference
            if d.verdict == "slower" and d.comparison.ratio >= WORTH:
                suggestion = Suggestion(alternative.benchmark, b, d.comparison)
        suggestions.append(suggestion)
    return suggestions

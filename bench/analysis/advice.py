"""What to call instead of a framework's documented call, where that saves time."""

from msgspec import Struct

from ...common.port.names import DOCUMENTED, FUNCTIONAL
from .answer import Alternative, AnswerRow, Situation
from .benchmarks import Benchmark
from .comparison import TimeComparison

#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1


class Suggestion(Struct, frozen=True):
    """The call to write with one framework."""

    benchmark: Benchmark
    time_s: float  # seconds of a call
    documented_s: float  # seconds of a documented call
    #: The documented call's time over its own; None where it is the documented call.
    saving: TimeComparison | None


class Advice(Struct, frozen=True):
    """The calls to write in one situation, at the size where they save the largest
    share of the time.
    """

    row: AnswerRow
    suggestions: list[Suggestion]  # one for each framework


def advice_of(situation: Situation) -> Advice | None:
    """What to call with each framework; None where the documented calls are as good."""
    advice = None
    largest = 1.0
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
        documented_s = documented.time_s(port)
        suggestion = Suggestion(b, documented_s, documented_s, None)
        alternative = row.alternatives.get(port)
        if alternative is not None:
            d = alternative.difference
            if d.verdict == "slower" and d.comparison.ratio >= WORTH:
                time_s = _time_of(alternative, row, documented_s)
                suggestion = Suggestion(
                    alternative.benchmark, time_s, documented_s, d.comparison
                )
        suggestions.append(suggestion)
    return suggestions


def _time_of(alternative: Alternative, row: AnswerRow, documented_s: float) -> float:
    """Seconds of a call, as a ranking shows it if the call is in one."""
    b = alternative.benchmark
    functional = row.rankings.get(FUNCTIONAL)
    if functional is not None and functional.benchmarks.get(b.arm.port) is b:
        return functional.time_s(b.arm.port)
    return documented_s / alternative.difference.comparison.ratio

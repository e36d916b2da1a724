"""What to write with each framework, where that saves time."""

from dataclasses import dataclass

from ...impls import get_port
from ..analysis.advice import Advice, Suggestion, advice_of
from ..analysis.answer import Answer
from .naming import is_here, name_of
from .numbers import format_time
from .sentences import LOOPS, SUBJECTS
from .sizes import in_words

HOW_CHOSEN = (
    "Of calls that take about as long, it is the one that changes least in your code. "
    "f(model, x) is a function of yours that calls the model. What else it takes, such "
    "as a state, is passed beside x."
)


@dataclass(frozen=True)
class Call:
    """The call to write with one framework."""

    framework: str
    code: list[str]  # lines
    time: str
    instead_of: str  # the time of the documented call; "" where it is that
    caution: str  # how it differs from the documented call for its users; "" if not


@dataclass(frozen=True)
class Written:
    """The calls to write with the frameworks."""

    heading: str  # in which situation they were measured
    how_chosen: str
    calls: list[Call]


def what_to_write(answer: Answer) -> Written | None:
    """The calls to write; None where the documented calls are as good."""
    advice = advice_of(answer)
    if advice is None:
        return None
    calls = []
    for suggestion in advice.suggestions:
        if is_here(suggestion.benchmark.arm.port):
            calls.append(_call(suggestion))
    return Written(_heading(advice), HOW_CHOSEN, calls)


def _heading(advice: Advice) -> str:
    row = advice.row
    return (
        f"{SUBJECTS[row.phase].lower()}, {in_words(row)}; {LOOPS[row.clock]}, where it "
        "saves most"
    )


def _call(suggestion: Suggestion) -> Call:
    b = suggestion.benchmark
    instead_of = ""
    if suggestion.saving is not None:
        instead_of = format_time(suggestion.documented_s)
    styles = get_port(b.arm.port).call_styles
    (style,) = [style for style in styles if style.name == b.arm.style]
    time = format_time(suggestion.time_s)
    return Call(
        name_of(b.arm.port), style.code.splitlines(), time, instead_of, style.caution
    )

"""What to write with each framework, where that saves time."""

from dataclasses import dataclass

from ...common.port.names import DOCUMENTED
from ...impls import get_port
from ..analysis.advice import Suggestion, advice_of
from ..analysis.answer import Answer, Situation
from .naming import is_here, name_of
from .numbers import format_time
from .sentences import LOOPS, SUBJECTS
from .sizes import in_words

HOW_CHOSEN = (
    "Of calls that take about as long, it is the one that changes least in your code."
)
#: What the code calls a function of the user's, by the phase.
OF_TRAINING = (
    "train_step is a function of yours that computes the loss and its gradient and "
    "updates the model. docs/call-styles.md has whole ones."
)
OF_CALLS = (
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
    """The calls to write with the frameworks in one situation."""

    heading: str  # the situation
    how_chosen: str
    calls: list[Call]  # none where the documented calls are as good


def what_to_write(answer: Answer) -> list[Written]:
    """The calls to write in each situation."""
    parts = []
    for situation in answer.situations:
        if any(DOCUMENTED in row.rankings for row in situation.rows):
            parts.append(_written(situation))
    return parts


def _written(situation: Situation) -> Written:
    subject = SUBJECTS[situation.phase].lower()
    advice = advice_of(situation)
    if advice is None:
        as_good = (
            "Call each framework as documented. No other call was shown to save a "
            "tenth of the time."
        )
        return Written(subject, as_good, [])

    calls = []
    for suggestion in advice.suggestions:
        if is_here(suggestion.benchmark.arm.port):
            calls.append(_call(suggestion))
    heading = (
        f"{subject}, {in_words(advice.row)}; {LOOPS[situation.clock]}, where it saves "
        "most"
    )
    of_phase = OF_TRAINING if situation.phase == "train_step" else OF_CALLS
    return Written(heading, f"{HOW_CHOSEN} {of_phase}", calls)


def _call(suggestion: Suggestion) -> Call:
    b = suggestion.benchmark
    instead_of = ""
    if suggestion.saving is not None:
        instead_of = format_time(suggestion.documented_s)
    styles = get_port(b.arm.port).call_styles
    (style,) = [style for style in styles if style.name == b.arm.style]
    time = format_time(suggestion.time_s)
    code = style.code_for(b.arm.phase).splitlines()
    return Call(name_of(b.arm.port), code, time, instead_of, style.caution)

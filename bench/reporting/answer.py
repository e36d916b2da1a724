"""The answer of a run on the screen.

It says which framework is the fastest, with times, what to write, and how sure that is.
"""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType

from ..analysis.answer import Answer, answer
from ..analysis.benchmarks import Results
from .advice import Call, what_to_write
from .answer_table import answer_tables
from .console import paragraph, say, show, show_lines, show_parts, terminal
from .equality import equality_tables
from .exports import answer_record
from .markdown import markdown
from .naming import measured_on, provenance_lines
from .numbers import json_text
from .remarks import compared_lines, proof_line, sure_lines, title_of, warnings
from .sentences import told
from .times import all_tables, arm_tables, overhead_tables, speedup_tables

MORE = "Intervals, causes, all call styles and checks: add --details."


def show_run(run: Results, *, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run.

    With `details` it stands below all tables. With `json` it is printed for machines
    instead. A failed proof, a kernel, a sweep and a run of other call styles have
    tables of their own above it.
    """
    shown = answer(run)
    if json:
        show_lines([json_text(answer_record(shown))])
        if not shown.rows:
            say(
                "the answer has no rows: no framework's own cell was timed as "
                "documented or in functional style."
            )
        return

    if details:
        show(all_tables(shown), above=provenance_lines(run), details=True)
    else:
        _show_exceptional_tables(shown)
    if shown.rows:
        show_parts(answer_screen(shown, details=details))
    else:
        show_lines([*warnings(shown), *_lines(proof_line(shown))])


def run_markdown(run: Results) -> str:
    """All tables of a run, in Markdown."""
    shown = answer(run)
    tables = [*answer_tables(shown), *all_tables(shown)]
    return markdown("Times", provenance_lines(run), tables)


def _show_exceptional_tables(answer: Answer) -> None:
    """Failed proofs; speedups and overheads; where there is no answer, all times."""
    run = answer.run
    measured = run.trigru.begun.equality or []
    failed = {(m.port, m.kernel) for m in measured if not m.passed}
    of_failed = [m for m in measured if (m.port, m.kernel) in failed]
    show(equality_tables(of_failed))
    if answer.rows or len(run.trigru.plan.devices) > 1:
        show([*speedup_tables(run), *overhead_tables(run)])
    else:
        show(arm_tables(run), above=provenance_lines(run))


def answer_screen(answer: Answer, *, details: bool = False) -> Iterator[RenderableType]:
    """The parts of the screen.

    They are warnings, what is compared, sentences with the result, tables, and what to
    write.
    """
    yield from _paragraphs(warnings(answer))
    yield paragraph(f"{title_of(answer)}: {measured_on(answer.run)}.")
    yield ""
    yield from _paragraphs(compared_lines(answer))
    for situation in told(answer):
        yield paragraph(f"{situation.subject} ({situation.loop})", bold=True)
        for sentence in situation.sentences:
            yield paragraph(sentence, indent=2)
        yield ""
    yield from _paragraphs(sure_lines(answer))
    yield terminal(answer_tables(answer))

    for written in what_to_write(answer):
        yield paragraph(f"What to write ({written.heading})", bold=True)
        yield paragraph(written.how_chosen, indent=2)
        for call in written.calls:
            yield from _call_lines(call)
        yield ""

    yield from map(paragraph, _lines(proof_line(answer)))
    if not details:
        yield paragraph(MORE)


def _paragraphs(texts: Iterable[str]) -> Iterator[RenderableType]:
    """Paragraphs with an empty line below, if there are any."""
    paragraphs = [paragraph(text) for text in texts]
    yield from paragraphs
    if paragraphs:
        yield ""


def _call_lines(call: Call) -> Iterator[RenderableType]:
    time = call.time
    if call.instead_of:
        time = f"{time} instead of {call.instead_of}"
    yield paragraph(f"{call.framework}, {time}:", indent=2)
    for line in call.code:
        yield paragraph(line, indent=4)
    if call.caution:
        yield paragraph(f"({call.caution})", indent=4)


def _lines(text: str) -> list[str]:
    return [text] if text else []

"""The answer of a run on one screen.

It says which framework is the fastest, with times, what to write, and how sure that is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ..analysis.answer import COMPARED, NOISY_FLOOR, Answer, answer
from ..analysis.benchmarks import Results
from ..results.proof import Proof
from .advice import advice_of
from .answer_table import time_lines
from .console import say, show, show_lines
from .equality import equality_tables
from .exports import answer_record
from .fastest import WIDTH, fastest_lines
from .naming import (
    INTERRUPTED,
    JITS,
    load_warnings,
    measured_on,
    name_of,
    provenance_lines,
)
from .numbers import count, from_to, json_text
from .shown import shown_rows
from .times import overhead_tables, speedup_tables, time_tables

#: The lines of a screen.
LINES = 24
MOST_UNTIMED = 3  # so many arms without a number are named
#: The cell that each port has under its stock kernel; `nnx.GRUCell` lacks a bias.
CELLS = {
    "linen": "nn.GRUCell",
    "nnx": "nnx.GRUCell (bias added to match)",
    "equinox": "eqx.nn.GRUCell",
}
#: What stands below a table in which some are marked.
STAR = "*: fastest in its row and style, or tied with it (not told apart at 95%)."


@dataclass(frozen=True)
class Extent:
    """How much the lines above the table say."""

    waited: bool = True  # of training, which is the fastest if calls are waited for
    brief: bool = False  # without ratios, where a line does not fit with them
    styles: bool = True  # what the call styles are


IN_FULL = Extent()
#: In full, and then, where that is too many lines, the first that fits.
EXTENTS = (
    IN_FULL,
    Extent(brief=True),
    Extent(waited=False),
    Extent(waited=False, brief=True),
    Extent(waited=False, brief=True, styles=False),
)


def show_run(run: Results, *, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run on one screen.

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
        proofs = equality_tables(run.trigru.begun.equality or [])
        tables = [*proofs, *time_tables(run)]
        show(tables, above=provenance_lines(run), details=True)
    else:
        _show_exceptional_tables(shown)
    if not shown.rows:
        show_lines([*problem_lines(shown), *proof_lines(shown)])
        return
    warnings = [] if details else load_warnings(run.trigru)
    show_lines(answer_lines(shown, warnings))


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
        show(time_tables(run), above=provenance_lines(run))


def answer_lines(answer: Answer, warnings: Sequence[str] = ()) -> list[str]:
    """The screen: 80 columns, where no more than three frameworks are compared.

    Where it is too long, something of `EXTENTS` is left out that makes it fit.
    """
    times = time_lines(answer)
    below = _folded(more_lines(answer))
    screens = []
    for extent in EXTENTS:
        above = _folded([*warnings, *head_lines(answer, extent)])
        screen = _screen([above, times, below])
        if len(screen) <= LINES:
            return screen
        screens.append(screen)
    return screens[0]


def _folded(texts: Iterable[str]) -> list[str]:
    lines = []
    for text in texts:
        lines += wrap(
            text,
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _screen(blocks: Sequence[Sequence[str]]) -> list[str]:
    """The lines of the blocks, with an empty one between two of them if they then
    fit.
    """
    texts = ["\n".join(block) for block in blocks if block]
    spaced = "\n\n".join(texts).split("\n")
    if len(spaced) <= LINES:
        return spaced
    return "\n".join(texts).split("\n")


def head_lines(answer: Answer, extent: Extent = IN_FULL) -> list[str]:
    """What failed or is missing, which are the fastest, and what the call styles
    are.
    """
    lines = problem_lines(answer)
    lines += fastest_lines(answer, waited=extent.waited, brief=extent.brief)
    styles = _style_texts(answer)
    if extent.styles and styles:
        lines.append(" ".join(styles))
    return lines


def _style_texts(answer: Answer) -> list[str]:
    timed = set()
    for row in answer.rows:
        timed |= row.cells.keys()
    texts = []
    jits = [JITS[port] for port in answer.ports if port in JITS]
    if jits and DOCUMENTED in timed:
        texts.append(f"Documented: {', '.join(jits)}.")
    if FUNCTIONAL in timed:
        texts.append("Functional: jax.jit(f)(params, x).")
    return texts


def more_lines(answer: Answer) -> list[str]:
    """How sure it is, what to write, what was proven and where it was measured."""
    lines = sure_lines(answer)
    advice = advice_of(answer)
    if advice:
        lines.append(advice.heading)
        for frameworks, code in advice.lines:
            lines.append(f"  {frameworks}: {code}")
    return [*lines, *proof_lines(answer)]


def problem_lines(answer: Answer) -> list[str]:
    """What failed, what has no number, and whether noise hides what matters."""
    lines = []
    if not answer.run.trigru.complete:
        lines.append(INTERRUPTED)
    for proof in answer.proofs or ():
        if not proof.is_equal:
            checks = ", ".join(proof.failed)
            lines.append(
                f"FAILED: {_proven(proof)} is not proven equal ({checks}); it has no "
                "number."
            )
    for reason in answer.missing.values():
        lines.append(f"Not here: {reason}")
    lines += _untimed_lines(answer)
    noise = _noise_line(answer)
    if noise:
        lines.append(noise)
    return lines


def _untimed_lines(answer: Answer) -> list[str]:
    lines = []
    for name, (reason, rows) in answer.untimed.items():
        lines.append(f"Without a number: {name}, {count(rows, 'time')}: {reason}")
    more = len(lines) - MOST_UNTIMED
    if more > 0:
        return [*lines[:MOST_UNTIMED], f"... and {more} more (--details)."]
    return lines


def _noise_line(answer: Answer) -> str:
    """Where differences are hidden by which a reader would choose; "" if nowhere."""
    floors = []
    for row in shown_rows(answer):
        floors.append(row.baseline.floor)
        if row.other:
            floors.append(row.other.baseline.floor)
    noisy = [floor for floor in floors if floor > NOISY_FLOOR]
    if not noisy:
        return ""
    where = f"{len(noisy)} of {len(floors)} rows"
    if len(noisy) == len(floors):
        where = "every row"
    hidden = from_to(noisy, "{:.0%}".format)
    return f"Too noisy to choose in {where}: differences of {hidden} do not show."


def sure_lines(answer: Answer) -> list[str]:
    """What stars and brackets mean, and whether the run can tell frameworks apart."""
    has_star = False
    is_undecided = False
    apart = set()
    for row in answer.rows:
        has_star |= any(row.fastest.get(label) for label in COMPARED)
        for label, cells in row.cells.items():
            is_undecided |= len(cells) > 1 and not row.fastest.get(label)
            for port, b in cells.items():
                reason = row.apart(b)
                if reason:
                    apart.add((port, reason))
    lines = []
    if has_star:
        lines.append(STAR)
    if is_undecided:
        lines.append(
            "Where no framework is marked, the rounds are too few or too noisy to tell."
        )
    if answer.processes == 1:
        lines.append(
            "One process does not show how processes differ: small differences may be "
            "chance."
        )
    in_brackets = []
    for port, reason in apart:
        in_brackets.append(f"In brackets, {name_of(port)} is not compared: {reason}.")
    return lines + sorted(in_brackets)


def proof_lines(answer: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    origin = measured_on(answer.run)
    if answer.proofs is None:
        return [
            "Not verified before timing: the first results of each arm were compared "
            "with the oracle.",
            origin,
        ]
    equal = [_proven(proof) for proof in answer.proofs if proof.is_equal]
    if not equal:
        return [origin]

    # a first look measures no bfloat16
    measured = answer.run.trigru.begun.equality or []
    is_whole = any(m.dtype == "bfloat16" for m in measured)
    text = "Proven the same" if is_whole else "Same results"
    if equal != [name_of(port) for port in ("pure", *answer.ports)]:
        text = f"{text} ({', '.join(equal)})"
    cells = []
    for port in answer.ports:
        if port in CELLS and name_of(port) in equal:
            cells.append(CELLS[port])
    if cells:
        text = f"{text}: {', '.join(cells)}"
    return [f"{text}.", origin]


def _proven(proof: Proof) -> str:
    name = name_of(proof.port)
    return name if proof.kernel == STOCK else f"{name} with {proof.kernel}"

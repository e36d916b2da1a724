"""The answer of a run in sentences and on one screen: the fastest, times, what to write, and how sure it is."""

from collections.abc import Iterable, Iterator
from math import ceil
from textwrap import wrap

from ...common.errors import listed
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import COMPARED, NOISY_FLOOR, Answer, AnswerRow, answer
from ..analysis.benchmarks import Benchmark, Results
from ..results.grouping import grouped
from ..results.proof import Proof
from .console import say, show, show_lines
from .equality import equality_tables
from .exports import answer_record
from .naming import (
    CALLED,
    JITS,
    PHASES,
    describe,
    is_here,
    load_warnings,
    measured_on,
    name_of,
    provenance_lines,
)
from .numbers import count, format_time, from_to, json_text
from .times import overhead_tables, speedup_tables, time_tables

#: Of a screen; and of its table, the widths of columns.
LINES, WIDTH, PHASE_WIDTH, TIME_WIDTH, GAP = 24, 80, 16, 8, "  "
#: What a screen has, in full and then, where that is too many lines, the first that fits; see `head_lines`.
STEPS = [
    {"waited": waited, "brief": brief}
    for waited in (True, False)
    for brief in (False, True)
]
STEPS += [{"waited": False, "brief": True, "styles": False}]
#: What sentences call phases, in their order. Where one step and train steps were timed, no others have a sentence.
SUBJECTS = {
    "step": "One GRU time step",
    "train_step": "Training updates",
    "forward": "Forward pass",
}
SUBJECTS |= {"gradient": "Gradient"}
MAIN = ("step", "train_step")
#: What a loop of calls does, by the clock: in a word, and as sentences explain it.
WAITING = {"blocked": "waited", "pipelined": "queued"}
LOOPS = {"blocked": "each call waited for", "pipelined": "queued, none waited for"}
#: Where all times differ by less, as a ratio, a sentence says so.
NEAR = 1.05
#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1
MOST_UNTIMED = 3  # so many arms without a number are named
#: The cell that each port has under its stock kernel; `nnx.GRUCell` lacks a bias.
CELLS = {
    "linen": "nn.GRUCell",
    "nnx": "nnx.GRUCell (bias added to match)",
    "equinox": "eqx.nn.GRUCell",
}
#: What stands below a table in which some are marked.
STAR = "*: fastest in its row and style, or tied with it (not told apart at 95%)."


def show_run(run: Results, *, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run on one screen; with details, after all tables; with json, instead for machines.

    A failed proof, a kernel, a sweep and a run of other call styles have tables of their own above it.
    """
    found, measured = answer(run), run.trigru.begun.equality or []
    if json:
        show_lines([json_text(answer_record(found))])
        if not found.rows:
            say(
                "the answer has no rows: no framework's own cell was timed as documented or in functional style."
            )
        return
    if details:
        show(
            [*equality_tables(measured), *time_tables(run)],
            above=provenance_lines(run),
            details=True,
        )
    else:
        failed = {(m.port, m.kernel) for m in measured if not m.passed}
        show(equality_tables([m for m in measured if (m.port, m.kernel) in failed]))
        if found.rows or len(run.trigru.plan.devices) > 1:
            show([*speedup_tables(run), *overhead_tables(run)])
        else:
            show(time_tables(run), above=provenance_lines(run))
    if found.rows:
        show_lines(answer_lines(found, () if details else load_warnings(run.trigru)))
    else:
        show_lines([*problem_lines(found), *proof_lines(found)])


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 80 columns where no more than three frameworks are compared.

    Where that makes the lines fit, ratios are left out, else the line on waiting, else both, else also what the styles
    are.
    """

    def folded(texts: Iterable[str]) -> list[str]:
        how = {
            "subsequent_indent": "  ",
            "break_long_words": False,
            "break_on_hyphens": False,
        }
        return [line for text in texts for line in wrap(text, WIDTH, **how)]

    times, below, whole = list(_times(found)), folded(more_lines(found)), list[str]()
    for step in STEPS:
        above = folded([*warnings, *head_lines(found, **step)])
        apart = [
            line for part in (above, times, below) if part for line in ("", *part)
        ][1:]
        screen = apart if len(apart) <= LINES else [line for line in apart if line]
        if len(screen) <= LINES:
            return screen
        whole = whole or screen
    return whole


def head_lines(found: Answer, *, styles: bool = True, **how: bool) -> list[str]:
    """What failed or is missing, then the lines of `fastest_lines`, then with `styles` what these are."""
    jits = ", ".join(JITS[port] for port in found.ports if port in JITS)
    texts = {
        DOCUMENTED: f"Documented: {jits}." * bool(jits),
        FUNCTIONAL: "Functional: jax.jit(f)(params, x).",
    }
    line = " ".join(
        text
        for label, text in texts.items()
        if text and any(label in row.cells for row in found.rows)
    )
    return [
        *problem_lines(found),
        *fastest_lines(found, **how),
        *[line] * (styles and bool(line)),
    ]


def fastest_lines(
    found: Answer, *, waited: bool = True, brief: bool = False
) -> list[str]:
    """Which framework is the fastest by style: in one step, which is waited for, and in training, which is not.

    Args:
        waited: where one of the fastest frameworks is slower if train steps are waited for, name the fastest then.
        brief: leave out the ratios of slower frameworks where they do not fit one line.
    """
    lines, explain = list[str](), True
    for phase in shown_phases(found):
        rows = [row for row in found.rows if row.phase == phase]
        others = [row.other for row in rows if row.other]
        situation, styles = others if len(others) == len(rows) else rows, list[str]()
        for label in COMPARED:
            line, explains = _fastest_of(situation, label, explain=explain)
            if brief and len(line) > WIDTH:
                line, explains = _fastest_of(situation, label, brief=True)
            explain = explain and not explains
            styles += [line] if line else []
        loop = f" ({LOOPS[situation[0].clock]})" * (phase in MAIN)
        lines += (
            [f"{SUBJECTS[phase]}{loop}, fastest framework by style:", *styles]
            if styles
            else []
        )
        if phase == "train_step" and situation is others and waited:
            texts = ", ".join(_if_waited_for(others, rows))
            lines += [f"If waited for, fastest: {texts}."] if texts else []
    return lines


def shown_phases(found: Answer) -> list[str]:
    """The phases on the screen: where one step and train steps were timed, no others."""
    phases = [
        phase for phase in SUBJECTS if any(row.phase == phase for row in found.rows)
    ]
    return (
        [phase for phase in phases if phase in MAIN] if {*MAIN} <= {*phases} else phases
    )


def _if_waited_for(queued: list[AnswerRow], waited: list[AnswerRow]) -> Iterator[str]:
    """The fastest where calls are waited for, in rows in which one of the fastest of those that are not is slower."""
    for label in COMPARED:
        turned = []
        for row, other in zip(queued, waited, strict=True):
            slower = _slower(other, label)
            if any(
                slower.get(port, 1.0) >= NEAR for port in row.fastest.get(label, ())
            ):
                turned.append(other)
        for ports, of in grouped(
            turned, lambda row, label=label: tuple(row.fastest[label])
        ).items():
            at = f" at {sizes_of(of, waited)}" if len(waited) > 1 else ""
            yield f"{listed(map(name_of, ports))}{' tied' * (len(ports) > 1)} {CALLED[label]}{at}"


def _fastest_of(
    rows: list[AnswerRow], label: str, *, explain: bool = False, brief: bool = False
) -> tuple[str, bool]:
    """Which frameworks are the fastest in one style, in each row where they differ; "" where that is unknown.

    In brackets, how many times as long the others take; with explain, the first of these says what it is. Returned is
    also whether one did.
    """
    rows = [row for row in rows if len(row.cells.get(label, {})) > 1]
    if not rows or not all(row.fastest.get(label) for row in rows):
        return "", False
    groups, texts = (
        grouped(rows, lambda row: frozenset(row.fastest[label])),
        list[str](),
    )
    explains = False
    everybody = {port for row in rows for cells in row.cells.values() for port in cells}
    for first, of in groups.items():
        where = f" at {sizes_of(of, rows)}" if len(groups) > 1 else ""
        over = grouped(
            ((row, *pair) for row in of for pair in _slower(row, label).items()),
            lambda found: found[1],
        )
        is_all = all(row.cells[label].keys() == everybody for row in of)
        is_all = is_all and not any(
            row.apart(b) for row in of for b in row.cells[label].values()
        )
        if not over and is_all:
            texts.append(f"all tied{where}")
            continue
        times_s = [[b.median_s for b in row.cells[label].values()] for row in of]
        most = max(max(times) / min(times) for times in times_s)
        is_near = is_all and most < NEAR
        slower = (
            [f"{'there ' * bool(where)}all within {ceil((most - 1) * 100)}%"]
            if is_near
            else []
        )
        for port, found in () if is_near else over.items():
            at = (
                f" at {sizes_of([row for row, *_ in found], of)}"
                if len(found) < len(of)
                else ""
            )
            times = from_to(
                (x for *_, x in found),
                lambda x: f"{x:.1f}" if x >= 1.95 else f"{x:.2f}",
            )
            times = f"{times.replace(' to ', '-')}x"
            slower.append(
                f"{name_of(port)} {f'takes {times} its time' if explain and not explains else times}{at}"
            )
            explains = explain
        in_order = [port for port in of[0].cells[label] if port in first]
        tied = " tied" * (len(in_order) > 1)
        brackets = f" ({', '.join(slower)})" * (not brief and bool(slower))
        texts.append(listed(map(name_of, in_order)) + tied + where + brackets)
    return f"  {CALLED[label]}: {', '.join(texts)}.", explains


def _slower(row: AnswerRow, label: str) -> dict[str, float]:
    """The frameworks that are slower than one of the fastest: the ratio of the shown times to the least of these."""
    first, slower = row.fastest.get(label, ()), dict[str, float]()
    for (one, other), d in row.pairs.get(label, {}).items():
        slow, fast = (one, other) if d.comparison.ratio > 1 else (other, one)
        if d.is_real and fast in first:
            # with the digits that tables show, so that readers find the same ratios
            times_s = {
                port: float(f"{row.cells[label][port].median_s:.3g}")
                for port in (slow, *first)
            }
            slower[slow] = max(
                times_s[slow] / min(times_s[port] for port in first), 1.0
            )
    return slower


def sizes_of(some: list[AnswerRow], rows: list[AnswerRow]) -> str:
    """What tells some of the rows apart: the first of B, T, D and H that does, or all."""
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    letters = zip(*(shape.split() for shape in shapes), strict=False)
    sizes = next((of for of in letters if len({*of}) == len(of)), shapes)
    return listed(size for size, row in zip(sizes, rows, strict=True) if row in some)


def more_lines(found: Answer) -> list[str]:
    """How sure it is, what to write, what was proven and where it was measured."""
    heading, advice = advice_of(found)
    to_write = (
        [heading, *(f"  {who}: {code}" for who, code in advice)] if advice else []
    )
    return [*sure_lines(found), *to_write, *proof_lines(found)]


def problem_lines(found: Answer) -> list[str]:
    """What failed, what has no number, and whether the noise hides differences by which a reader would choose."""
    lines = [] if found.run.trigru.complete else ["INTERRUPTED: not all was measured."]
    failed = [p for p in found.proofs or () if not p.is_equal]
    lines += [
        f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number."
        for p in failed
    ]
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [
        f"Without a number: {name}, {count(rows, 'time')}: {why}"
        for name, (why, rows) in found.untimed.items()
    ]
    more = len(untimed) - MOST_UNTIMED
    lines += untimed[:MOST_UNTIMED] + [f"... and {more} more (--details)."] * (more > 0)
    rows = _shown_rows(found)
    if floors := [
        row.baseline.floor for row in rows if row.baseline.floor > NOISY_FLOOR
    ]:
        where = (
            "every row"
            if len(floors) == len(rows)
            else f"{len(floors)} of {len(rows)} rows"
        )
        hidden = from_to(floors, "{:.0%}".format)
        lines.append(
            f"Too noisy to choose in {where}: differences of {hidden} do not show."
        )
    return lines


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and whether the run can tell frameworks apart."""
    blocks = [
        (row, label, cells) for row in found.rows for label, cells in row.cells.items()
    ]
    lines = []
    if any(row.fastest.get(label) for row in found.rows for label in COMPARED):
        lines.append(STAR)
    if any(
        len(cells) > 1 and not row.fastest.get(label) for row, label, cells in blocks
    ):
        lines.append(
            "Where no framework is marked, the rounds are too few or too noisy to tell."
        )
    if found.processes == 1:
        lines.append(
            "One process does not show how processes differ: small differences may be chance."
        )
    apart = {
        (port, why)
        for row, _, cells in blocks
        for port, b in cells.items()
        if (why := row.apart(b))
    }
    return lines + sorted(
        f"In brackets, {name_of(port)} is not compared: {why}." for port, why in apart
    )


def advice_of(found: Answer) -> tuple[str, list[tuple[str, str]]]:
    """What to write in the row where that saves the largest share: a heading; frameworks with their times, and code.

    Only of calls that take less time than the framework's documented and its functional one; where some take less than
    every framework's in the row, those alone.
    """

    def saved(row: AnswerRow) -> dict[str, float]:
        slower = {
            port: d.comparison.ratio
            for port, d in row.advised.items()
            if is_here(port) and d.verdict == "slower"
        }
        return {port: ratio for port, ratio in slower.items() if ratio >= WORTH}

    if not (
        rows := [
            row for row in found.rows if row.phase in shown_phases(found) and saved(row)
        ]
    ):
        return "", []
    row, advised = (
        max(rows, key=lambda row: max(saved(row).values())),
        dict[str, list[Benchmark]](),
    )  # by code
    for port in row.cells[DOCUMENTED]:
        kept, functional = (
            row.keeping.get(port),
            row.cells.get(FUNCTIONAL, {}).get(port),
        )
        if (
            port not in saved(row)
            or not kept
            or (functional and functional.median_s < NEAR * kept.median_s)
        ):
            continue
        (code,) = (
            style.summary
            for style in get_port(port).call_styles
            if style.name == kept.arm.style
        )
        if not code.startswith(
            "call = "
        ):  # what is made once stands apart from the call
            made, _, arguments = code.removesuffix(")").rpartition("(")
            code = f"call = {made}; call({arguments})"
        advised.setdefault(code, []).append(kept)
    if not advised:
        return "", []
    shown_s = min(
        (
            b.median_s
            for of in row.cells.values()
            for b in of.values()
            if not row.apart(b)
        ),
        default=0.0,
    )
    fastest = {
        code: some
        for code, of in advised.items()
        if (some := [b for b in of if b.median_s < shown_s])
    }
    at = sizes_of([row], [other for other in found.rows if other.phase == row.phase])
    phase = PHASES[row.phase] if row.phase == "step" else f"a {PHASES[row.phase]}"
    lines = [
        (
            ", ".join(f"{name_of(b.arm.port)} {format_time(b.median_s)}" for b in of),
            code,
        )
        for code, of in (fastest or advised).items()
    ]
    than = "those above" if fastest else "their own above"
    return (
        f"Other styles, faster than {than}, {phase} at {at} (docs/call-styles.md):",
        lines,
    )


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    equal, lines = [_proven(p) for p in found.proofs or () if p.is_equal], []
    if found.proofs is None:
        lines = [
            "Not verified before timing: the first results of each arm were compared with the oracle."
        ]
    elif equal:
        whole = any(
            m.dtype == "bfloat16" for m in found.run.trigru.begun.equality or ()
        )  # a first look has none
        is_all = equal == [name_of(port) for port in ("pure", *found.ports)]
        cells = ", ".join(
            CELLS[port]
            for port in found.ports
            if port in CELLS and name_of(port) in equal
        )
        proven = ("Proven the same" if whole else "Same results") + (
            "" if is_all else f" ({', '.join(equal)})"
        )
        lines = [f"{proven}: {cells}." if cells else f"{proven}."]
    return [*lines, measured_on(found.run)]


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + (
        "" if proof.kernel == STOCK else f" with {proof.kernel}"
    )


def _times(found: Answer) -> Iterator[str]:
    """The tables of times: both ways beside each other, or one below the other where there are many frameworks.

    A star marks the frameworks than which no other is faster.
    """
    labels = [
        label for label in COMPARED if any(label in row.cells for row in found.rows)
    ]
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name) + 1) for name in names]
    processes = f"of {found.processes} process{'es' * (found.processes != 1)}"

    def line(first: str, plain: str, blocks: Iterable[Iterable[str]]) -> str:
        texts = (
            " ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
            for cells in blocks
        )
        return (
            f"{first:{PHASE_WIDTH}}{plain:>{TIME_WIDTH}}{GAP}{GAP.join(texts)}".rstrip()
        )

    def cell(row: AnswerRow, label: str, port: str) -> str:
        if (b := row.cells.get(label, {}).get(port)) is None:
            return "- "
        time = format_time(b.median_s)
        return (
            f"({time})"
            if row.apart(b)
            else time + ("*" if port in row.fastest.get(label, ()) else " ")
        )

    for beside in (
        [labels] if len(found.ports) <= 3 else [[label] for label in labels]
    ):  # more do not fit twice
        width = sum(widths) + len(widths) - 1
        called = GAP.join(f"{CALLED[label]:{width}}" for label in beside)
        yield f"{'Median time':{PHASE_WIDTH}}{'plain':>{TIME_WIDTH - 1}} {GAP}{called}".rstrip()
        yield line(processes, "JAX ", [[f"{name} " for name in names]] * len(beside))
        for rows in grouped(_shown_rows(found), lambda row: str(row.workload)).values():
            yield describe(rows[0].workload)
            for row in rows:
                by_clock = f"{row.phase.partition('_')[0]}, {WAITING[row.clock]}"
                first = f" {by_clock if row.other or row not in found.rows else PHASES[row.phase]}"
                times = (
                    [cell(row, label, port) for port in found.ports] for label in beside
                )
                yield line(first, f"{format_time(row.baseline.median_s)} ", times)


def _shown_rows(found: Answer) -> list[AnswerRow]:
    """The rows of the table, one for each clock."""
    shown = (row for row in found.rows if row.phase in shown_phases(found))
    return [row for both in shown for row in (both, both.other) if row]

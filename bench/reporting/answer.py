"""The answer of a run in sentences and on one screen: the fastest, times, what to write, and how sure it is."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import NOISY_FLOOR, WAYS, Answer, AnswerRow, answer
from ..results.grouping import grouped
from ..results.proof import Proof
from ..results.run import Results
from .console import say, show, show_lines
from .equality import equality_tables
from .exports import answer_record
from .fastest import NEAR, WAITING, WIDTH, fastest_lines, shown_phases, sizes_of
from .naming import CALLED, CELLS, JITS, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to, json_text
from .provenance import load_warnings, measured_on, provenance_lines
from .times import overhead_tables, speedup_tables, time_tables

#: Of a screen; and of its table, the widths of columns.
LINES, PHASE_WIDTH, TIME_WIDTH, GAP = 24, 16, 8, "  "
#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1
MOST_UNTIMED = 3  # so many arms without a number are named
#: What stands below a table in which some are marked.
STAR = "*: fastest in its row and style, or tied with it (not told apart at 95%)."
#: The time over plain JAX's that versions change the most, by the series of jax, of the published runs; the line tells
#: by which factor: docs/releases.md.
CHANGED = "At B=1 H=200, linen trains {2:.1f}x as fast on jax {1} as {0} (docs/releases.md)."
BY_SERIES, PUBLISHED = {"0.10": 2.75, "0.12": 1.61}, "2026-11-29"


def show_run(run: Results, *, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run on one screen; with details, after all tables; with json, instead for machines.

    A failed proof, a kernel, a sweep and a run of other call styles have tables of their own above it.
    """
    found, measured = answer(run), run.trigru.begun.equality or []
    if json:
        show_lines([json_text(answer_record(found))])
        if not found.rows:
            say("the answer has no rows: no framework's own cell was timed as documented or in functional style.")
        return
    if details:
        show([*equality_tables(measured), *time_tables(run)], above=provenance_lines(run), details=True)
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

    Where that makes the lines fit, ratios, then the line on waiting, what is of other versions, and what the styles are
    is left out.
    """

    def folded(texts: Iterable[str]) -> list[str]:
        how = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
        return [line for text in texts for line in wrap(text, WIDTH, **how)]

    times, versions, whole = list(_times(found)), version_lines(found), list[str]()
    shorter = [(True, False, []), (True, True, []), (False, False, []), (False, True, []), (False, True, versions)]
    for waited, brief, left_out in (*shorter, (False, True, [*versions, *style_lines(found)])):
        above, below = [*warnings, *head_lines(found, waited=waited, brief=brief)], more_lines(found)
        first, last = (folded(line for line in lines if line not in left_out) for lines in (above, below))
        apart = [line for part in (first, times, last) if part for line in ("", *part)][1:]
        screen = apart if len(apart) <= LINES else [line for line in apart if line]
        if len(screen) <= LINES:
            return screen
        whole = whole or screen
    return whole


def head_lines(found: Answer, **how: bool) -> list[str]:
    """What failed or is missing, then which framework is the fastest, in lines as `fastest_lines` makes them."""
    return [*problem_lines(found), *fastest_lines(found, **how), *style_lines(found)]


def style_lines(found: Answer) -> list[str]:
    """What the styles of the table are, in a line."""
    jits = ", ".join(JITS[port] for port in found.ports if port in JITS)
    texts = {DOCUMENTED: f"Documented: {jits}." * bool(jits), FUNCTIONAL: "Functional: jax.jit(f)(params, x)."}
    texts = [text for way, text in texts.items() if text and any(way in row.cells for row in found.rows)]
    return [" ".join(texts)] if texts else []


def more_lines(found: Answer) -> list[str]:
    """How sure it is, what to write, what other versions change, what was proven and where it was measured."""
    heading, advice = advice_of(found)
    to_write = [heading, *(f"  {who}: {code}" for who, code in advice)] if advice else []
    return [*sure_lines(found), *to_write, *version_lines(found), *proof_lines(found)]


def problem_lines(found: Answer) -> list[str]:
    """What failed, what has no number, and whether the noise hides differences by which a reader would choose."""
    lines = [] if found.run.trigru.complete else ["INTERRUPTED: not all was measured."]
    failed = [p for p in found.proofs or () if not p.is_equal]
    lines += [f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number." for p in failed]
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    more = len(untimed) - MOST_UNTIMED
    lines += untimed[:MOST_UNTIMED] + [f"... and {more} more (--details)."] * (more > 0)
    rows = _shown_rows(found)
    if floors := [row.baseline.floor for row in rows if row.baseline.floor > NOISY_FLOOR]:
        where = "every row" if len(floors) == len(rows) else f"{len(floors)} of {len(rows)} rows"
        hidden = from_to(floors, "{:.0%}".format)
        lines.append(f"Too noisy to choose in {where}: differences of {hidden} do not show.")
    return lines


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and whether the run can tell frameworks apart."""
    blocks = [(row, way, cells) for row in found.rows for way, cells in row.cells.items()]
    lines = []
    if any(row.fastest.get(way) for row in found.rows for way in WAYS):
        lines.append(STAR)
    if any(len(cells) > 1 and not row.fastest.get(way) for row, way, cells in blocks):
        lines.append("Where no framework is marked, the rounds are too few or too noisy to tell.")
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    apart = {(port, why) for row, _, cells in blocks for port, b in cells.items() if (why := row.apart(b))}
    return lines + sorted(f"In brackets, {name_of(port)} is not compared: {why}." for port, why in apart)


def advice_of(found: Answer) -> tuple[str, list[tuple[str, str]]]:
    """What to write in the row where that saves the largest share: a heading; frameworks with their times, and code.

    Only of calls that take less time than the framework's documented and its functional one; where some take less than
    every framework's in the row, those alone.
    """

    def saving(row: AnswerRow) -> dict[str, float]:
        slower = {port: d.ratio for port, d in row.advised.items() if is_here(port) and d.verdict == "slower"}
        return {port: ratio for port, ratio in slower.items() if ratio >= WORTH}

    advised: list[tuple[str, str, float]] = []
    if not (rows := [row for row in found.rows if row.phase in shown_phases(found) and saving(row)]):
        return "", []
    row = max(rows, key=lambda row: max(saving(row).values()))
    for port in row.cells[DOCUMENTED]:
        kept, functional = row.keeping.get(port), row.cells.get(FUNCTIONAL, {}).get(port)
        if port not in saving(row) or not kept or (functional and functional.median_s < NEAR * kept.median_s):
            continue
        (code,) = (style.summary for style in get_port(port).call_styles if style.name == kept.arm.style)
        if not code.startswith("call = "):  # what is made once stands apart from the call
            made, _, arguments = code.removesuffix(")").rpartition("(")
            code = f"call = {made}; call({arguments})"
        advised.append((code, name_of(port), kept.median_s))
    if not advised:
        return "", []
    shown_s = [b.median_s for cells in row.cells.values() for b in cells.values() if not row.apart(b)]
    fastest = [of for of in advised if of[2] < min(shown_s, default=0.0)]
    at = sizes_of([row], [other for other in found.rows if other.phase == row.phase])
    phase = PHASES[row.phase] if row.phase == "step" else f"a {PHASES[row.phase]}"
    lines = [
        (", ".join(f"{name} {format_time(time_s)}" for _, name, time_s in of), code)
        for code, of in grouped(fastest or advised, lambda of: of[0]).items()
    ]
    than = "those above" if fastest else "their own above"
    return f"Other styles, faster than {than}, {phase} at {at} (code: `trigru styles`):", lines


def version_lines(found: Answer) -> list[str]:
    """What other versions of jax change, from the published runs; nothing where those of the run are not among them."""
    machine = found.run.trigru.machine
    series = ".".join(machine.versions.get("jax", "").split(".")[:2])
    if "linen" not in found.ports or machine.backend != "cpu" or series not in BY_SERIES:
        return []
    (older, then), (newer, now) = BY_SERIES.items()
    return [CHANGED.format(older, newer, then / now)]


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    equal, lines = [_proven(p) for p in found.proofs or () if p.is_equal], []
    if found.proofs is None:
        lines = ["Not verified before timing: the first results of each arm were compared with the oracle."]
    elif equal:
        whole = any(m.dtype == "bfloat16" for m in found.run.trigru.begun.equality or ())  # a first look has none
        is_all = equal == [name_of(port) for port in ("pure", *found.ports)]
        cells = ", ".join(CELLS[port] for port in found.ports if port in CELLS and name_of(port) in equal)
        proven = ("Proven the same" if whole else "Same results") + ("" if is_all else f" ({', '.join(equal)})")
        lines = [f"{proven}: {cells}." if cells else f"{proven}."]
    return [*lines, measured_on(found.run)]


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")


def _times(found: Answer) -> Iterator[str]:
    """The tables of times: both ways beside each other, or one below the other where there are many frameworks."""
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name) + 1) for name in names]
    processes = f"of {found.processes} process{'es' * (found.processes != 1)}"

    def line(first: str, plain: str, blocks: Iterable[Iterable[str]]) -> str:
        texts = (" ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)) for cells in blocks)
        return f"{first:{PHASE_WIDTH}}{plain:>{TIME_WIDTH}}{GAP}{GAP.join(texts)}".rstrip()

    for beside in [ways] if len(found.ports) <= 3 else [[way] for way in ways]:  # more do not fit twice
        width = sum(widths) + len(widths) - 1
        called = GAP.join(f"{CALLED[way]:{width}}" for way in beside)
        yield f"{'Median time':{PHASE_WIDTH}}{'plain':>{TIME_WIDTH - 1}} {GAP}{called}".rstrip()
        yield line(processes, "JAX ", [[f"{name} " for name in names]] * len(beside))
        for rows in grouped(_shown_rows(found), lambda row: str(row.workload)).values():
            yield describe(rows[0].workload)
            for row in rows:
                by_clock = f"{row.phase.partition('_')[0]}, {WAITING[row.clock]}"
                first = f" {by_clock if row.other or row not in found.rows else PHASES[row.phase]}"
                times = ([_cell(row, way, port) for port in found.ports] for way in beside)
                yield line(first, f"{format_time(row.baseline.median_s)} ", times)


def _shown_rows(found: Answer) -> list[AnswerRow]:
    """The rows of the table, one for each clock."""
    shown = (row for row in found.rows if row.phase in shown_phases(found))
    return [row for both in shown for row in (both, both.other) if row]


def _cell(row: AnswerRow, way: str, port: str) -> str:
    """The time of a framework, with a star where no other is faster; "-" where it has none."""
    b = row.cells.get(way, {}).get(port)
    if b is None:
        return "- "
    time = format_time(b.median_s)
    return f"({time})" if row.apart(b) else time + ("*" if port in row.fastest.get(way, ()) else " ")

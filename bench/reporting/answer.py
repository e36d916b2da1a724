"""The answer of a run on one screen: in words, as times, with causes, what to write, and how sure all of it is."""

from collections.abc import Iterable, Sequence
from math import log
from textwrap import wrap

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import WAYS, Answer, Cell, Row
from ..analysis.equality import Proof
from ..analysis.pairs import Difference, OtherClock
from ..analysis.statistics import Comparison
from ..results.grouping import grouped
from .naming import CALLED, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to
from .sections import Section

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike, the parameters as one pytree"}
#: The phases in the order in which sentences tell of them.
ORDER = ("step", "forward", "gradient", "train_step")
#: A dtype in which the whole contract is checked, and a first look is not.
WHOLE = "bfloat16"
#: Of a screen. Where there are more lines, none is left empty.
WIDTH, LINES = 80, 24
PHASE_WIDTH, TIME_WIDTH, GAP = 15, 8, 3
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
#: How many arms without a number are named.
MOST_UNTIMED = 3
CAUSES = {
    "boundary": "the compiled program is the same",
    "unexplained": "the compiled program is the same, so the cause is not known",
    "unread": "the compiled program could not be read",
    "equations": "other equations",
    "style": "XLA compiled another program",
    "program": "XLA compiled another program",
}


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 80 columns where no more than three frameworks are compared.

    Args:
        warnings: of the machine's load.
    """
    prose = [[*warnings, *head_lines(found)], more_lines(found)]
    first, last = ([line for text in part for line in _fold(text)] for part in prose)
    parts = [first, _times(found), last]
    apart = [line for part in parts if part for line in ("", *part)][1:]
    return apart if len(apart) <= LINES else [line for line in apart if line]


def head_lines(found: Answer) -> list[str]:
    """What failed or is missing, then the answer in a sentence for each phase."""
    return [*problem_lines(found), *sentences(found)]


def more_lines(found: Answer) -> list[str]:
    """Causes, what to write, what was proven, and how sure it is."""
    return [*reason_lines(found), *clock_lines(found), *advice_lines(found), *proof_lines(found), *limit_lines(found)]


def _fold(text: str) -> list[str]:
    """Lines of one sentence."""
    return wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def problem_lines(found: Answer) -> list[str]:
    """What failed, what has no number, and whether the noise hides differences by which a reader would choose."""
    lines = [] if found.complete else ["INTERRUPTED: not all was measured."]
    lines += [
        f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number."
        for p in found.proofs or ()
        if not p.is_equal
    ]
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    more = len(untimed) - MOST_UNTIMED
    lines += untimed[:MOST_UNTIMED] + [f"... and {more} more (--details)."] * (more > 0)
    if floors := [row.floor for row in found.rows if row.is_noisy]:
        where = "every row" if len(floors) == len(found.rows) else f"{len(floors)} of {len(found.rows)} rows"
        hidden = from_to(f"{min(floors):.0%}", f"{max(floors):.0%}")
        lines.append(f"Too noisy to choose in {where}: differences of {hidden} do not show. Use an idle machine.")
    return lines


Slower = tuple[str, str, Comparison]


def sentences(found: Answer) -> list[str]:
    """Which framework is the fastest as documented, by how much; then how far apart they are called alike."""
    documented = {phase: _winners(rows) for phase, rows in _compared(found, DOCUMENTED).items()}
    parts = []
    for winners in dict.fromkeys(documented.values()):
        phases = [phase for phase, of in documented.items() if of == winners]
        rows = [row for phase in phases for row in _compared(found, DOCUMENTED)[phase]]
        parts.append(_documented(winners, _real(rows, DOCUMENTED), " and ".join(f"a {PHASES[p]}" for p in phases)))
    real = {PHASES[phase]: _real(rows, FUNCTIONAL) for phase, rows in _compared(found, FUNCTIONAL).items()}
    alike = [(_most(of), f"in a {phase}") for phase, of in real.items() if of]
    takes = f"the slowest takes up to {_as_long(alike)}"
    return [
        *[f"As documented, {'; '.join(parts)}."] * bool(parts),
        *[f"Called alike, {takes if alike else 'none is faster beyond chance'}."] * bool(_compared(found, FUNCTIONAL)),
    ]


def _compared(found: Answer, way: str) -> dict[str, list[Row]]:
    """The rows of each phase in which frameworks are compared."""
    rows = {p: [row for row in found.rows if row.phase == p and len(row.cells.get(way, {})) > 1] for p in ORDER}
    return {phase: of for phase, of in rows.items() if of and all(row.fastest.get(way) for row in of)}


def _winners(rows: list[Row]) -> tuple[str, ...] | None:
    """The frameworks that are among the fastest in all rows, or () if there are none; None if none is ever slower."""
    if not _real(rows, DOCUMENTED):
        return None
    return tuple(port for port in rows[0].fastest[DOCUMENTED] if all(port in row.fastest[DOCUMENTED] for row in rows))


def _real(rows: list[Row], way: str) -> list[Slower]:
    return [_slower_first(d) for row in rows for d in row.pairs[way] if d.is_real]


def _documented(winners: tuple[str, ...] | None, real: list[Slower], phases: str) -> str:
    if winners is None:
        return f"none is faster beyond chance in {phases}"
    if not winners:
        return f"the fastest depends on the size in {phases} (others take up to {_most(real)} times as long)"
    slower = grouped((two for two in real if two[1] == winners[0]), lambda two: two[0])
    (first, of), *others = slower.items()
    over = [f"{name_of(first)} takes up to {_most(of)} times as long"]
    over += [f"{name_of(port)} {_most(of)}" for port, of in others]
    verb = "is" if len(winners) == 1 else "are"
    return f"{' and '.join(map(name_of, winners))} {verb} the fastest in {phases} ({', '.join(over)})"


def _as_long(alike: list[tuple[str, str]]) -> str:
    return ", ".join(f"{ratio} {'times as long ' * (n == 0)}{where}" for n, (ratio, where) in enumerate(alike))


def _most(real: list[Slower]) -> str:
    return f"{max(ratio.ratio for *_, ratio in real):.2f}"


def _slower_first(d: Difference) -> Slower:
    """The ports of two arms, the slower first, and its time over the other's."""
    one, other, ratio = _port(d.one), _port(d.other), Comparison(d.ratio, d.low, d.high)
    return (one, other, ratio) if d.ratio >= 1 else (other, one, ratio.inverse)


def reason_lines(found: Answer) -> list[str]:
    """The largest difference between frameworks called alike, with its cause."""
    met = [(row, d) for row in found.rows for d in row.pairs.get(FUNCTIONAL, ()) if d.is_real]
    if not met:
        return []
    row, d = max(met, key=lambda two: abs(log(two[1].ratio)))
    slow, fast, ratio = _slower_first(d)
    slow_name, fast_name, phase = name_of(slow), name_of(fast), PHASES.get(row.phase, row.phase)
    if d.cause == "program" and d.counts:
        words = {"dots": "matrix products", "whiles": "loops"}
        name, *numbers = d.counts[0]
        mine, its = numbers if slow == _port(d.one) else reversed(numbers)
        why = f"{mine} {words.get(name, name)}, not {its}"
        return [f"Called alike, {slow_name}'s {phase} takes {ratio.ratio:.2f}x {fast_name}'s: {why}."]
    times = f"{slow_name} takes {ratio.ratio:.2f} times {fast_name}'s time in a {phase}"
    return [f"Called alike, {times}: {CAUSES[d.cause]}."]


def clock_lines(found: Answer) -> list[str]:
    """Where calls that are waited for and calls that are not have other ratios: the row in which they are farthest."""
    by_row = [
        (row, [(port, cell, cell.other) for port, cell in cells.items() if cell.other and _disagree(cell, cell.other)])
        for row in found.rows
        for cells in row.cells.values()
    ]
    apart = [(row, cells) for row, cells in by_row if cells]
    if not apart:
        return []
    row, cells = max(apart, key=lambda of: max(abs(log(o.ratio.ratio / cell.ratio)) for _, cell, o in of[1]))
    loop = "In loops without waiting" if found.clock == "blocked" else "With each call waited for"
    ratios = ", ".join(f"{name_of(port)} {other.ratio.ratio:.2f}x" for port, _, other in cells)
    return [f"{loop}, {PHASES.get(row.phase, row.phase)} over plain JAX's: {ratios}."]


def _disagree(cell: Cell, other: OtherClock) -> bool:
    """Whether the verdicts differ, or the ratios by more than a tenth, beyond their intervals."""
    beyond = other.ratio.high < cell.low or cell.high < other.ratio.low
    return beyond and (cell.verdict != other.verdict or abs(log(other.ratio.ratio / cell.ratio)) > log(1.1))


def advice_lines(found: Answer) -> list[str]:
    """What to write instead of the documented style, where that takes longer, and what share of a call that saves."""
    lines, saved = [], []
    for port in found.ports:
        slower = [d for row in found.rows if (d := row.advised.get(port)) and d.verdict == "slower"]
        if not (slower and is_here(port)):
            continue
        most = max(slower, key=lambda d: d.ratio)
        style = {style.name: style for style in get_port(port).call_styles}.get(_style(most.other))
        if style:
            saved.append(f"{1 - 1 / most.ratio:.0%} ({name_of(port)})")
            lines.append(f"  {name_of(port):8} {style.summary.partition('; call(')[0]}")
    return [f"Write this (`trigru styles`) to save up to {', '.join(saved)} of a call:"] * bool(lines) + lines


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, in a sentence."""
    if found.proofs is None:
        return ["Not verified before timing: the first results of each arm were compared with the oracle."]
    equal = [p for p in found.proofs if p.is_equal]
    errors = [p.worst_error for p in equal if p.worst_error is not None]
    worst = f", errors up to {max(errors):.0e}" if errors else ""
    part = worst if WHOLE in found.dtypes else " of what is timed"
    names = ", ".join(map(_proven, equal))
    return [f"Proven equal: {names} ({count(len(found.checks), 'check')}{part})."] * bool(equal)


def limit_lines(found: Answer) -> list[str]:
    """Where it was measured, and what the numbers cannot tell."""
    machine, known = found.machine, found.machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    least = "" if found.least is None else f" Differences below {found.least[0]:.1%} may have been missed."
    lines = [
        f"{machine.device}, {count(machine.threads, 'thread')}, {found.datetime[:10]}, {found.arithmetic}, "
        f"{found.processes} process{'es' * (found.processes != 1)}; {versions}.{least}"
    ]
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    if any(len(cells) > 1 and not row.fastest.get(way) for row in found.rows for way, cells in row.cells.items()):
        lines.append("Where no framework is marked, too few rounds were measured to tell, or what they do differs.")
    return lines


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")


def _times(found: Answer) -> list[str]:
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    blocks = [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]
    lines = [line for block in blocks for line in _block(found, block)]
    return lines + [line for text in _notes(found) for line in _fold(text)]


def _block(found: Answer, ways: list[str]) -> list[str]:
    """A table of times, with these ways beside each other."""
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name) + 1) for name in names]

    def line(first: str, blocks: Iterable[Sequence[str]]) -> str:
        texts = (" ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)) for cells in blocks)
        return f"{first:{PHASE_WIDTH}}{(' ' * GAP).join(texts)}".rstrip()

    width = sum(widths) + len(widths) - 1
    heading = (" " * GAP).join(f"{CALLED[way]:{width}}" for way in ways)
    lines = [f"{'Time of a call':{PHASE_WIDTH}}{heading}".rstrip(), line("", [[f"{n} " for n in names]] * len(ways))]
    for rows in grouped(found.rows, lambda row: str(row.workload)).values():
        lines.append(describe(rows[0].workload))
        lines += [
            line(f" {PHASES.get(row.phase, row.phase)}", [_cells(found, row, way) for way in ways]) for row in rows
        ]
    return lines


def _cells(found: Answer, row: Row, way: str) -> list[str]:
    """The time of each framework, with a star where no other is faster; "-" where it has none."""
    cells, fastest = row.cells.get(way, {}), row.fastest.get(way, [])
    texts = []
    for port in found.ports:
        time = format_time(cells[port].time_s) if port in cells else "-"
        is_apart = port in cells and cells[port].differs
        texts.append(f"({time})" if is_apart else time + ("*" if port in fastest else " "))
    return texts


def time_table(found: Answer, way: str) -> Section:
    """What each framework takes in one way, a row for each phase of each workload."""
    rows = [(f"{row.shape}, {PHASES.get(row.phase, row.phase)}", *_cells(found, row, way)) for row in found.rows]
    return Section(
        f"{TITLES[way]}: time of a call", ("size", *map(name_of, found.ports)), rows, tuple(_notes(found)), detail=True
    )


def _notes(found: Answer) -> list[str]:
    """What a star and brackets mean, and which style is that of the documentation."""
    cells = [(port, cell) for row in found.rows for of_way in row.cells.values() for port, cell in of_way.items()]
    apart = sorted({f"In brackets, {name_of(port)} is not compared: {c.differs}." for port, c in cells if c.differs})
    if not any(row.fastest.get(way) for row in found.rows for way in WAYS):
        return apart
    return ["*: none is faster beyond chance, round by round; medians may order otherwise.", *apart]


def _port(name: str) -> str:
    return name.partition("[")[0]


def _style(name: str) -> str:
    return name.partition("[")[2].rstrip("]")

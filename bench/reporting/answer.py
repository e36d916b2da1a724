"""The answer of a run on one screen: what was proven, what each framework takes, why, and what to write."""

from collections.abc import Callable, Iterable, Sequence
from math import log
from textwrap import wrap

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import WAYS, Answer, Cell, Row
from ..analysis.equality import Proof
from ..analysis.pairs import OtherClock
from ..arms.arms import FEW_PROCESSES
from ..arms.workloads import WORKLOADS, get_workload
from ..results.arm import Sized
from ..results.grouping import grouped
from .naming import HEADINGS, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to
from .reasons import first_lines, reason_lines, slower_of, style_in
from .sections import Section, Words

TITLES = {DOCUMENTED: "As documented", FUNCTIONAL: "Called alike, the parameters as one pytree"}
#: A dtype in which the whole contract is asked, and a first look is not.
WHOLE = "bfloat16"
#: Of a terminal.
WIDTH, LINES = 100, 40
PHASE_WIDTH, TIME_WIDTH, GAP = 16, 7, 2
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
#: From this many units on, the fused kernel trains faster in every framework on most workloads (docs/kernel.md).
FUSED_FROM = 64
#: The first sentence that a full screen does without.
TRY_FUSED = "To train, try --kernel fused, too: on most sizes faster in every framework (docs/kernel.md)."
#: How many arms without a number are named.
MOST_UNTIMED = 3


def answer_lines(found: Answer, warnings: Iterable[str] = (), *, times: bool = True) -> list[str]:
    """The screen, of at most 100 columns where no more than three frameworks are compared.

    Args:
        warnings: of the machine's load.
        times: with the table of times; without it, all sentences, for what has that table beside them.
    """
    prose = [
        [*warnings, *noise_lines(found), *proof_lines(found)],
        [*reason_lines(found), *clock_lines(found)],
        advice_lines(found),
        limit_lines(found),
    ]
    if not times:
        return [line for part in prose for line in part]
    parts = [[line for text in part for line in _fold(text)] for part in prose]
    parts.insert(1, _times(found))
    apart = [line for part in parts if part for line in ("", *part)][1:]
    close = apart if len(apart) <= LINES else [line for line in apart if line]
    return close if len(close) <= LINES else [line for line in close if line != TRY_FUSED]


def _fold(text: str) -> list[str]:
    """Lines of one sentence."""
    return wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def proof_lines(found: Answer) -> list[str]:
    """What was proven, in a line; what failed, and what has no number."""
    lines = [] if found.complete else ["INTERRUPTED: not all was measured."]
    if found.proofs is None:
        lines.append("Not verified before timing: the first results of each arm were compared with the oracle.")
    else:
        lines += _proof(found.proofs, found)
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    return lines + first_lines(untimed, MOST_UNTIMED)


def _proof(proofs: list[Proof], found: Answer) -> list[str]:
    equal = [p for p in proofs if p.is_equal]
    lines = [
        f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number."
        for p in proofs
        if not p.is_equal
    ]
    errors = [p.worst_error for p in equal if p.worst_error is not None]
    worst = f"; errors up to {max(errors):.0e}, 1e-12 is allowed" if errors else ""
    if equal:
        names = ", ".join(_proven(p) for p in equal)
        lines.append(f"Proven equal: {names} ({count(len(found.checks), 'check')}{worst}).")
    if WHOLE not in found.dtypes:
        lines.append("Only the phases and styles timed here were checked; `trigru verify` runs all checks.")
    return lines


def noise_lines(found: Answer) -> list[str]:
    """Whether the noise hides differences by which a reader would choose."""
    floors = [row.floor for row in found.rows if row.is_noisy]
    if not floors:
        return []
    where = "in every row" if len(floors) == len(found.rows) else f"in {len(floors)} of {len(found.rows)} rows"
    hidden = from_to(f"{min(floors):.0%}", f"{max(floors):.0%}")
    return [
        f"Too noisy to choose by {where}: the noise hides differences of {hidden}. Measure again on an idle machine."
    ]


def limit_lines(found: Answer) -> list[str]:
    """What the numbers cannot tell."""
    machine, known = found.machine, found.machine.versions
    names = ("python", "jax", "flax", "equinox")
    versions = ", ".join(f"{name} {known[name]}" for name in names if name in known)
    processes = "1 process" if found.processes == 1 else f"{found.processes} processes"
    lines = [
        f"One machine ({machine.device}, {count(machine.threads, 'thread')}, {found.datetime[:10]}), "
        f"{found.arithmetic}, {processes}; {versions}."
    ]
    if found.least is not None:
        usual, most = (f"{least:.1%}" for least in found.least)
        noisiest = f" (noisiest row: {most})" if most != usual else ""
        lines[0] += f" Differences below {usual}{noisiest} may have been missed."
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    elif found.processes <= FEW_PROCESSES:
        lines.append("Few processes: 92 % of such 95 % intervals held what a long run found (docs/measurement.md).")
    if any(len(cells) > 1 and not row.fastest.get(way) for row in found.rows for way, cells in row.cells.items()):
        lines.append("Where no framework is named, too few rounds were measured to tell, or what they do differs.")
    return lines


def clock_lines(found: Answer) -> list[str]:
    """Where the clocks disagree, of calls that are waited for and that are not: how many ratios, and the farthest."""
    apart = [
        (abs(log(cell.other.ratio.ratio / cell.ratio)), row, port, cell, cell.other.ratio)
        for row in found.rows
        for cells in row.cells.values()
        for port, cell in cells.items()
        if cell.other is not None and _disagree(cell, cell.other)
    ]
    if not apart:
        return []
    _, row, port, cell, other = max(apart, key=lambda found: found[0])
    began = "Calls not waited for" if found.clock == "blocked" else "Each call waited for"
    of = sum(cell.other is not None for row in found.rows for cells in row.cells.values() for cell in cells.values())
    return [
        f"{began}: {len(apart)} of {of} ratios to plain JAX differ ({name_of(port)} {row.workload} "
        f"{row.phase.replace('_', ' ')}: {other.ratio:.2f}, not {cell.ratio:.2f})."
    ]


def _disagree(cell: Cell, other: OtherClock) -> bool:
    """Whether the verdicts differ, or the ratios by more than a tenth, beyond their intervals."""
    beyond = other.ratio.high < cell.low or cell.high < other.ratio.low
    return beyond and (cell.verdict != other.verdict or abs(log(other.ratio.ratio / cell.ratio)) > log(1.1))


def _times(found: Answer) -> list[str]:
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    blocks = [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]
    lines = [line for block in blocks for line in _block(found, block)]
    return lines + differing(found) + legend_lines(found)


def time_table(found: Answer, way: str) -> Section:
    """What each framework takes in one way, and which is the fastest, a row for each phase of each workload."""
    rows = pivot(found, way, lambda cell: format_time(cell.time_s) + "*" * bool(cell.differs))
    return Section(
        f"{TITLES[way]}: time of a call",
        ("workload", *map(name_of, found.ports), Words("fastest")),
        [(f"{row.workload} {row.phase}", *cells, fastest_of(row, way)) for row, cells in rows],
        ("Medians per call. Fastest: no other is faster beyond chance, round by round.", *differing(found)),
    )


def pivot(found: Answer, way: str, show: Callable[[Cell], str]) -> list[tuple[Row, list[str]]]:
    """Each row with a cell for each framework, as it is shown; "-" where it has no number."""
    rows = [(row, row.cells.get(way, {})) for row in found.rows]
    return [(row, [show(cells[port]) if port in cells else "-" for port in found.ports]) for row, cells in rows]


def fastest_of(row: Row, way: str) -> str:
    """The frameworks than which no other is faster, or why none is named."""
    fastest = row.fastest.get(way, [])
    compared = [cell for cell in row.cells.get(way, {}).values() if not cell.differs]
    if len(fastest) == len(compared) > 1:
        return "too noisy" if row.is_noisy else "not told apart"
    return ", ".join(map(name_of, fastest)) or "-"


def differing(found: Answer) -> list[str]:
    """Why cells with a star are not compared."""
    cells = [(port, cell) for row in found.rows for of_way in row.cells.values() for port, cell in of_way.items()]
    return sorted({f"*{name_of(port)} is not compared: {cell.differs}." for port, cell in cells if cell.differs})


def legend_lines(found: Answer) -> list[str]:
    """What is called as documented, and what it takes to be the fastest."""
    if not any(row.fastest.get(way) for row in found.rows for way in WAYS):
        return []
    styles = []
    for port in found.ports:
        cells = [(row.phase, _documented(row)[port].style) for row in found.rows if port in _documented(row)]
        by_style = grouped(cells, lambda cell: cell[1])
        most = max(by_style, key=lambda style: len(by_style[style]), default=None)
        others = {style: PHASES.get(some[0][0], some[0][0]) for style, some in by_style.items() if style != most}
        also = "".join(f" ({phase}: `{style}`)" for style, phase in others.items())
        styles += [f"{name_of(port)} `{most}`{also}"] * bool(most)
    said = [f"As documented: {', '.join(styles)}."] if styles else []
    fastest = "fastest: no other is faster beyond chance, round by round; medians may order otherwise."
    return [line for text in (*said, fastest) for line in _fold(text)]


def _documented(row: Row) -> dict[str, Cell]:
    return row.cells.get(DOCUMENTED, {})


def _block(found: Answer, ways: list[str]) -> list[str]:
    """A table of times, with these ways beside each other."""
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name)) for name in names]
    winner = max(8, (WIDTH - PHASE_WIDTH) // len(ways) - sum(w + 1 for w in widths) - GAP - 1)
    block = sum(w + 1 for w in widths) + GAP + winner

    def line(first: str, cells: Iterable[tuple[Sequence[str], str]]) -> str:
        text = f"{first:{PHASE_WIDTH}}"
        for times, last in cells:
            text += "".join(f" {time:>{w}}" for time, w in zip(times, widths, strict=True))
            text += " " * GAP + f"{last:{winner}} "
        return text.rstrip()

    cells = [pivot(found, way, lambda cell: format_time(cell.time_s) + "*" * bool(cell.differs)) for way in ways]
    lines = [
        f"{'Time of a call':{PHASE_WIDTH}} " + " ".join(f"{HEADINGS[way]:{block}}" for way in ways).rstrip(),
        line("", [(names, "fastest")] * len(ways)),
    ]
    workload = None
    for (row, *_), of_ways in zip(cells[0], zip(*cells, strict=True), strict=True):
        lines += [describe(row.workload)] * (row.workload != workload)
        workload = row.workload
        shown = [(times, fastest_of(row, way)) for (_, times), way in zip(of_ways, ways, strict=True)]
        lines.append(line(f"  {PHASES.get(row.phase, row.phase)}", shown))
    return lines


def advice_lines(found: Answer) -> list[str]:
    """What to write for the fast number."""
    lines, cautions, as_documented = [], [], []
    for port in found.ports:
        slower = slower_of([row.styles[port] for row in found.rows if port in row.styles])
        if not slower and any(port in row.cells.get(FUNCTIONAL, {}) for row in found.rows):
            as_documented.append(name_of(port))
        styles = {style.name: style for style in get_port(port).call_styles} if is_here(port) else {}
        style = styles.get(style_in(slower[0].other)) if slower else None
        if style:
            lines.append(f"  {name_of(port):8} {style.summary}")
            cautions += [f"  {name_of(port)}: {style.caution}."] * bool(style.caution)
    if lines:
        fast = f"; {', '.join(as_documented)}: as documented" if as_documented else ""
        head = f"For the fast number, write (in full: `trigru styles PORT functional`{fast}):"
        lines = [head, *lines, *cautions]
    if any(_units(row.workload) >= FUSED_FROM for row in found.rows if row.phase == "train_step"):
        lines.append(TRY_FUSED)
    return lines


def _units(workload: Sized) -> int:
    known = workload.name in {known.name for known in WORKLOADS}
    return get_workload(workload).hidden_size if known else 0


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")

"""The answer of a run on one screen: in words, as times, with causes, what to write, and how sure all of it is."""

from collections.abc import Iterable, Sequence
from math import log
from textwrap import wrap
from typing import NamedTuple

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import WAYS, Answer, Cell, Row
from ..analysis.equality import Proof
from ..analysis.pairs import Difference, OtherClock
from ..results.grouping import grouped
from .naming import CALLED, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to

OPENINGS = {DOCUMENTED: "As documented", FUNCTIONAL: "Functional"}
#: The phases in the order in which sentences tell of them.
ORDER = ("step", "forward", "gradient", "train_step")
#: A dtype in which the whole contract is checked, and a first look is not.
WHOLE = "bfloat16"
#: Of a screen. Where there are more lines, none is left empty.
WIDTH, LINES = 80, 24
PHASE_WIDTH, TIME_WIDTH, GAP = 15, 8, 3
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1
#: How many arms without a number are named.
MOST_UNTIMED = 3
#: The ratio of the published runs that versions change the most, by the series of jax; see docs/releases.md.
CHANGED = "Published: linen's training"
BY_SERIES, PUBLISHED = {"0.10": 2.75, "0.12": 1.62}, "2026-11-29"


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
    """What failed or is missing, then which framework is the fastest, in a sentence for each way of calling."""
    return [*problem_lines(found), *sentences(found)]


def more_lines(found: Answer) -> list[str]:
    """How sure it is, the other clock, what to write, what other versions change, and where it was measured."""
    return [*sure_lines(found), *clock_lines(found), *advice_lines(found), *version_lines(found), *proof_lines(found)]


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


class Slower(NamedTuple):
    """A framework that takes longer than another, how many times as long, and why if their programs tell."""

    slow: str
    fast: str
    ratio: float
    why: str


def sentences(found: Answer) -> list[str]:
    """Which framework is the fastest in each phase, and by how much: a sentence for each way of calling."""
    return [f"{OPENINGS[way]}: {', '.join(parts)}." for way in WAYS if (parts := _fastest(found, way))]


def _fastest(found: Answer, way: str) -> list[str]:
    """The parts of a sentence: phases with the same fastest frameworks share one."""
    rows = {p: [row for row in found.rows if row.phase == p and len(row.cells.get(way, {})) > 1] for p in ORDER}
    rows = {phase: of for phase, of in rows.items() if of and all(row.fastest.get(way) for row in of)}
    winners = {phase: _winners([row.fastest[way] for row in of]) for phase, of in rows.items()}
    parts = []
    for ports, always in dict.fromkeys(winners.values()):
        phases = [phase for phase, of in winners.items() if of == (ports, always)]
        slower = [_slower(d) for phase in phases for row in rows[phase] for d in row.pairs[way] if d.is_real]
        where = " and ".join(PHASES[phase] if phase == "step" else f"a {PHASES[phase]}" for phase in phases)
        verb = (
            ""
            if any("fastest" in part for part in parts)
            else " are fastest"
            if always and ports[1:]
            else " is fastest"
        )
        if not slower:
            parts.append(f"none is faster beyond chance in {where}")
        elif always:
            parts.append(f"{' and '.join(map(name_of, ports))}{verb} in {where} ({_over(slower, ports)})")
        else:
            most, of_all = max(s.ratio for s in slower), [row.fastest[way] for phase in phases for row in rows[phase]]
            wins = {port: sum(port in of for of in of_all) for port in ports}
            first, *others = sorted(ports, key=lambda port: -wins[port])
            at = [f"{name_of(first)}{verb} at {wins[first]} of {count(len(of_all), 'size')}"]
            at += [f"{name_of(port)} at {wins[port]}" for port in others]
            parts.append(f"in {where} {', '.join(at)} (others up to {most:.2f}x)")
    return parts


def _over(slower: list[Slower], fastest: Sequence[str]) -> str:
    """How many times as long each other framework takes at most."""
    others = grouped((s for s in slower if s.fast in fastest), lambda s: s.slow)
    most = [max(of_port, key=lambda s: s.ratio) for of_port in others.values()]
    return "; ".join(f"{name_of(s.slow)} {'up to ' * (n == 0)}{s.ratio:.2f}x{s.why}" for n, s in enumerate(most))


def _winners(fastest: list[list[str]]) -> tuple[tuple[str, ...], bool]:
    """The frameworks that are among the fastest in all rows, or in some if there are none; and whether it is in all."""
    always = tuple(port for port in fastest[0] if all(port in of for of in fastest))
    return always or tuple(dict.fromkeys(port for of in fastest for port in of)), bool(always)


def _slower(d: Difference) -> Slower:
    """The slower of two frameworks."""
    name, *counts = d.counts[0] if d.cause == "program" and d.counts else ("", 0, 0)
    word = {"dots": "matmuls", "whiles": "loops"}.get(name)
    slow, fast = d.one.partition("[")[0], d.other.partition("[")[0]
    if d.ratio < 1:
        slow, fast, counts = fast, slow, counts[::-1]
    return Slower(
        slow,
        fast,
        max(d.ratio, 1 / d.ratio),
        f": {counts[0]} {word}, not {counts[1]}" if word and counts[0] > counts[1] else "",
    )


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and which differences the run can show."""
    cells = [(port, cell) for row in found.rows for of_way in row.cells.values() for port, cell in of_way.items()]
    lines = []
    if any(row.fastest.get(way) for row in found.rows for way in WAYS):
        order = " (medians may order otherwise)" * any(_misleads(row, way) for row in found.rows for way in row.cells)
        least = "" if found.least is None else f"; below {found.least:.1%}, little shows"
        lines.append(f"*: the fastest, or not shown to be slower{order}{least}.")
    if any(len(of_way) > 1 and not row.fastest.get(way) for row in found.rows for way, of_way in row.cells.items()):
        lines.append("Where no framework is marked, too few rounds were measured to tell, or what they do differs.")
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    return lines + sorted({f"In brackets, {name_of(p)} is not compared: {c.differs}." for p, c in cells if c.differs})


def _misleads(row: Row, way: str) -> bool:
    """Whether a framework that is marked has a longer median time than one that is not."""
    compared = {port: cell.time_s for port, cell in row.cells[way].items() if not cell.differs}
    marked = row.fastest.get(way, [])
    others = [time_s for port, time_s in compared.items() if port not in marked]
    return bool(marked) and any(compared[port] > min(others, default=compared[port]) for port in marked)


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
    loop = "In loops that do not wait" if found.clock == "blocked" else "With each call waited for"
    ratios = ", ".join(f"{name_of(port)} {other.ratio.ratio:.2f}x" for port, _, other in cells)
    return [f"{loop}, {PHASES[row.phase]} over plain JAX's: {ratios}."]


def _disagree(cell: Cell, other: OtherClock) -> bool:
    """Whether the verdicts differ, or the ratios by more than a tenth, beyond their intervals."""
    beyond = other.ratio.high < cell.low or cell.high < other.ratio.low
    return beyond and (cell.verdict != other.verdict or abs(log(other.ratio.ratio / cell.ratio)) > log(1.1))


def advice_lines(found: Answer) -> list[str]:
    """What to write instead of the documented style, where that takes longer, and what share of a call that saves."""
    lines, saved = [], []
    for port in found.ports:
        slower = [d for row in found.rows if (d := row.advised.get(port)) and d.verdict == "slower"]
        most = max(slower, key=lambda d: d.ratio, default=None)
        if most is None or most.ratio < WORTH or not is_here(port):
            continue
        style = {style.name: style for style in get_port(port).call_styles}.get(_style(most.other))
        if style:
            saved.append(f"{1 - 1 / most.ratio:.0%} ({name_of(port)})")
            code = style.summary.partition("; call(")[0]
            made = code if code.startswith("call =") else f"call = {code.rpartition('(')[0]}"
            lines.append(f"  {name_of(port):8} {made}")
    return [f"Write once, for f(model, x), to save up to {', '.join(saved)}:"] * bool(lines) + lines


def version_lines(found: Answer) -> list[str]:
    """What other versions of jax change, from the published runs; nothing where those of the run are not among them."""
    if ".".join(found.machine.versions.get("jax", "").split(".")[:2]) not in BY_SERIES:
        return []
    took = ", ".join(f"jax {series} {ratio}x" for series, ratio in BY_SERIES.items())
    return [f"{CHANGED} over plain JAX's: {took}."]


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    machine, known = found.machine, found.machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    equal = [p for p in found.proofs or () if p.is_equal]
    part = "" if WHOLE in found.dtypes else " of what is timed"
    proven = f"Proven equal: {', '.join(map(_proven, equal))} ({count(len(found.checks), 'check')}{part}). "
    if found.proofs is None:
        proven = "Not verified before timing: the first results of each arm were compared with the oracle. "
    return [
        f"{proven * (found.proofs is None or bool(equal))}{machine.device}, {count(machine.threads, 'thread')}, "
        f"{found.datetime[:10]}, {found.arithmetic}, {found.processes} process{'es' * (found.processes != 1)}; "
        f"{versions}."
    ]


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")


def _times(found: Answer) -> list[str]:
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    blocks = [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]
    return [line for block in blocks for line in _block(found, block)]


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
        lines += [line(f" {PHASES[row.phase]}", [_cells(found, row, way) for way in ways]) for row in rows]
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


def _style(name: str) -> str:
    return name.partition("[")[2].rstrip("]")

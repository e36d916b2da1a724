"""The answer of a run on one screen: in words, as times, with causes, what to write, and how sure all of it is."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import log
from textwrap import wrap
from typing import NamedTuple

from ...common.errors import listed
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import WAYS, Answer, Cell, Row
from ..analysis.equality import Proof
from ..analysis.pairs import Difference
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
PHASE_WIDTH, TIME_WIDTH, GAP = 15, 8, " " * 3
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1
#: How many arms without a number are named.
MOST_UNTIMED = 3
#: The ratio of the published runs that versions change the most, by the series of jax; see docs/releases.md.
CHANGED = "Versions: linen's train step is {} plain JAX's on jax {}, {} on {}."
BY_SERIES, PUBLISHED = {"0.10": 2.75, "0.12": 1.62}, "2026-11-29"
#: What sentences call operations that programs have in different numbers.
WORDS = {"dots": "matmuls", "whiles": "loops"}


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 80 columns where no more than three frameworks are compared.

    Args:
        warnings: of the machine's load.
    """

    def folded(texts: Iterable[str]) -> list[str]:
        how = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
        return [line for text in texts for line in wrap(text, WIDTH, **how)]

    parts = [folded([*warnings, *head_lines(found)]), list(_times(found)), folded(more_lines(found))]
    apart = [line for part in parts if part for line in ("", *part)][1:]
    return apart if len(apart) <= LINES else [line for line in apart if line]


def head_lines(found: Answer) -> list[str]:
    """What failed or is missing, then which framework is the fastest, in a sentence for each way of calling."""
    sentences = [f"{OPENINGS[way]}: {'; '.join(parts)}." for way in WAYS if (parts := _fastest(found, way))]
    return [*problem_lines(found), *sentences]


def more_lines(found: Answer) -> list[str]:
    """How sure it is, the other clock, what to write, what other versions change, and where it was measured."""
    parts = sure_lines(found), clock_lines(found), advice_lines(found), version_lines(found), proof_lines(found)
    return list(chain(*parts))


def problem_lines(found: Answer) -> list[str]:
    """What failed, what has no number, and whether the noise hides differences by which a reader would choose."""
    lines = [] if found.complete else ["INTERRUPTED: not all was measured."]
    failed = [p for p in found.proofs or () if not p.is_equal]
    lines += [f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number." for p in failed]
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    more = len(untimed) - MOST_UNTIMED
    lines += untimed[:MOST_UNTIMED] + [f"... and {more} more (--details)."] * (more > 0)
    if floors := [row.floor for row in found.rows if row.is_noisy]:
        where = "every row" if len(floors) == len(found.rows) else f"{len(floors)} of {len(found.rows)} rows"
        hidden = from_to(floors, "{:.0%}".format)
        lines.append(f"Too noisy to choose in {where}: differences of {hidden} do not show. Use an idle machine.")
    return lines


class Slower(NamedTuple):
    """A framework that takes longer than another, how many times as long, and why if their programs tell."""

    slow: str
    fast: str
    ratio: float
    why: str


def _fastest(found: Answer, way: str) -> list[str]:
    """The parts of a sentence: phases with the same fastest frameworks share one."""
    rows = {p: [row for row in found.rows if row.phase == p and len(row.cells.get(way, {})) > 1] for p in ORDER}
    rows = {phase: of for phase, of in rows.items() if of and all(row.fastest.get(way) for row in of)}
    winners = {phase: _winners([row.fastest[way] for row in of]) for phase, of in rows.items()}
    parts: list[str] = []
    for ports, alike in grouped(winners, lambda phase: winners[phase]).items():
        of_alike = [row for phase in alike for row in rows[phase]]
        slower = [_slower(d, row.cells[way]) for row in of_alike for d in row.pairs[way] if d.is_real]
        where = listed(map(_one, alike))
        if not slower:
            parts.append(f"no difference was shown in {where}")
        elif ports:
            verb = "are" if ports[1:] else "is"
            parts.append(f"{listed(map(name_of, ports))} {verb} first in {where} ({_over(slower, ports)})")
        else:
            depend = "depend" if alike[1:] else "depends"
            parts.append(f"{where} {depend} on the size (up to {max(s.ratio for s in slower):.2f}x)")
    return parts


def _one(phase: str) -> str:
    """A phase with its article."""
    return PHASES[phase] if phase == "step" else f"a {PHASES[phase]}"


def _winners(fastest: list[list[str]]) -> tuple[str, ...]:
    """The frameworks that are among the fastest in all rows."""
    return tuple(port for port in fastest[0] if all(port in of for of in fastest))


def _over(slower: list[Slower], fastest: Sequence[str]) -> str:
    """How many times as long each other framework takes at most."""
    others = grouped((s for s in slower if s.fast in fastest), lambda s: s.slow)
    most = [max(of_port, key=lambda s: s.ratio) for of_port in others.values()]
    texts = [f"{name_of(s.slow)} {{}}{s.ratio:.2f}x{{}}{s.why}" for s in most]
    return ", ".join([texts[0].format("takes up to ", " as long"), *(text.format("", "") for text in texts[1:])])


def _slower(d: Difference, cells: dict[str, Cell]) -> Slower:
    """The slower of two frameworks; how many times as long it takes is of the times that the screen shows."""
    slow, fast = d.one.partition("[")[0], d.other.partition("[")[0]
    name, more, fewer = d.counts[0] if d.cause == "program" and d.counts else ("", 0, 0)
    if d.ratio < 1:
        slow, fast, more, fewer = fast, slow, fewer, more
    why = f" with {more} {WORDS[name]} where {name_of(fast)} has {fewer}" if name in WORDS and more > fewer else ""
    return Slower(slow, fast, max(cells[slow].time_s / cells[fast].time_s, 1.0), why)


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and which differences the run can show."""
    blocks = [(row, way, cells) for row in found.rows for way, cells in row.cells.items()]
    lines = []
    if any(row.fastest.get(way) for row in found.rows for way in WAYS):
        least = "" if found.least is None else f"; a difference below {found.least:.1%} may go unseen"
        lines.append(f"*: first, alone or tied{least}.")
    if any(len(cells) > 1 and not row.fastest.get(way) for row, way, cells in blocks):
        lines.append("Where no framework is marked, too few rounds were measured to tell, or what they do differs.")
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    apart = {(port, cell.differs) for _, _, cells in blocks for port, cell in cells.items() if cell.differs}
    return lines + sorted(f"In brackets, {name_of(port)} is not compared: {why}." for port, why in apart)


def clock_lines(found: Answer) -> list[str]:
    """Where calls that are waited for and calls that are not have other ratios: the row in which they are farthest."""
    apart: list[tuple[float, str, dict[str, Cell]]] = []
    for row in found.rows:
        for way, cells in row.cells.items():
            some = {port: cell for port, cell in cells.items() if _disagree(cell)}
            if not some:
                continue
            what = f"{PHASES[row.phase]} {CALLED[way]} ({describe(row.workload).partition(':')[0]})"
            apart.append((max(abs(log(_other(cell) / cell.ratio)) for cell in some.values()), what, some))
    if not apart:
        return []
    _, what, some = max(apart, key=lambda entry: entry[0])
    loops = ["waited for", "in flight, as in training"][:: 1 if found.clock == "blocked" else -1]
    own = ", ".join(f"{cell.ratio:.2f}x" for cell in some.values())
    other = ", ".join(f"{name_of(port)} {_other(cell):.2f}x" for port, cell in some.items())
    return [f"{loops[1].capitalize()}, {what} takes {other} plain JAX's time; {loops[0]}, {own}."]


def _other(cell: Cell) -> float:
    """The ratio by the other clock, of a cell that has one."""
    return cell.other.ratio.ratio if cell.other else cell.ratio


def _disagree(cell: Cell) -> bool:
    """Whether the verdicts of both clocks differ, or the ratios by more than a tenth, beyond their intervals."""
    other = cell.other
    if other is None or (other.ratio.high >= cell.low and cell.high >= other.ratio.low):
        return False
    return cell.verdict != other.verdict or abs(log(other.ratio.ratio / cell.ratio)) > log(1.1)


def advice_lines(found: Answer) -> list[str]:
    """What to write instead of the documented style, where that takes longer, and what share of a call that saves."""
    ratios = {
        (d.ratio, at, port): d.other.partition("[")[2].rstrip("]")
        for at, row in enumerate(found.rows)
        for port, d in row.advised.items()
        if d.verdict == "slower" and d.ratio >= WORTH and is_here(port)
    }
    if not ratios:
        return []
    row, lines = found.rows[max(ratios)[1]], []
    for (ratio, at, port), name in ratios.items():
        style = next((style for style in get_port(port).call_styles if style.name == name), None)
        if style and found.rows[at] is row:
            code, _, arguments = style.summary.removeprefix("call = ").removesuffix(")").rpartition("(")
            made = f"call = {code.partition('; call')[0]}, then call({arguments})"
            lines.append(f"  {name_of(port):8} {made}: {format_time(row.cells[DOCUMENTED][port].time_s / ratio)}")
    size = describe(row.workload).partition(":")[0]
    return [f"Faster, made once for f(model, x), in {_one(row.phase)} ({size}):"] * bool(lines) + lines


def version_lines(found: Answer) -> list[str]:
    """What other versions of jax change, from the published runs; nothing where those of the run are not among them."""
    is_known = ".".join(found.machine.versions.get("jax", "").split(".")[:2]) in BY_SERIES
    (older, then), (newer, now) = BY_SERIES.items()
    return [CHANGED.format(f"{then}x", older, f"{now}x", newer)] * is_known


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    machine, known = found.machine, found.machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    equal = [_proven(p) for p in found.proofs or () if p.is_equal]
    is_all = equal == [name_of(port) for port in ("pure", *found.ports)]
    proven = ""
    if found.proofs is None:
        proven = "Not verified before timing: the first results of each arm were compared with the oracle. "
    elif equal:
        part = "" if WHOLE in found.dtypes else " of what is timed"
        names = "All proven equal" if is_all else f"Proven equal: {', '.join(equal)}"
        proven = f"{names} ({count(len(found.checks), 'check')}{part}). "
    return [
        f"{proven}{machine.device}, {count(machine.threads, 'thread')}, {found.datetime[:10]}, {found.arithmetic}, "
        f"{found.processes} process{'es' * (found.processes != 1)}; {versions}."
    ]


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")


def _times(found: Answer) -> Iterator[str]:
    """The tables of times: both ways beside each other, or one below the other where there are many frameworks."""
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name) + 1) for name in names]

    def line(first: str, blocks: Iterable[Iterable[str]]) -> str:
        texts = (" ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)) for cells in blocks)
        return f"{first:{PHASE_WIDTH}}{GAP.join(texts)}".rstrip()

    for beside in [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]:
        width = sum(widths) + len(widths) - 1
        yield f"{'Time of a call':{PHASE_WIDTH}}{GAP.join(f'{CALLED[way]:{width}}' for way in beside)}".rstrip()
        yield line("", [[f"{name} " for name in names]] * len(beside))
        for rows in grouped(found.rows, lambda row: str(row.workload)).values():
            yield describe(rows[0].workload)
            for row in rows:
                yield line(f" {PHASES[row.phase]}", ([_cell(row, way, p) for p in found.ports] for way in beside))


def _cell(row: Row, way: str, port: str) -> str:
    """The time of a framework, with a star where no other is faster; "-" where it has none."""
    cell = row.cells.get(way, {}).get(port)
    if cell is None:
        return "- "
    time = format_time(cell.time_s)
    return f"({time})" if cell.differs else time + ("*" if port in row.fastest.get(way, ()) else " ")

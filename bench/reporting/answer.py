"""The answer of a run in sentences and on one screen: the fastest, times, what to write, and how sure it is."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from math import ceil
from textwrap import wrap

from ...common.errors import listed
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import WAYS, Answer, Row
from ..results.grouping import grouped
from ..results.proof import Proof
from .naming import CALLED, CELLS, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to

#: What sentences call phases, in their order. Where one step and train steps were timed, no others have a sentence.
SUBJECTS = {"step": "One step", "train_step": "Training", "forward": "Forward pass", "gradient": "Gradient"}
MAIN = ("step", "train_step")
#: A dtype in which the whole contract is checked, and a first look is not.
WHOLE = "bfloat16"
#: Of a screen. Where there are more lines, none is left empty.
WIDTH, LINES = 80, 24
PHASE_WIDTH, TIME_WIDTH, GAP = 16, 8, "  "
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1
#: How many arms without a number are named.
MOST_UNTIMED = 3
#: Frameworks whose times differ by less, as a ratio, are not ranked in a sentence.
NEAR = 1.05
#: What begins the line on what a run can show, below a table.
STAR = "*: fastest of its style in the row, or "
#: The ratio to plain JAX that versions change the most, by the series of jax, of the published runs: docs/releases.md.
CHANGED = "linen's train step, D=20, beside plain JAX: {:.0%} less with jax {} than {}."
BY_SERIES, PUBLISHED = {"0.10": 2.75, "0.12": 1.61}, "2026-11-29"
#: What a loop of calls does, by the clock.
WAITING = {"blocked": "waited", "pipelined": "queued"}
#: What the words above a table mean.
HEADINGS = "Waited: per call; queued: at the end. Documented: jax.jit, nnx.jit, filter_jit."
#: What stands above the times of functional style.
IN_JIT = " (in jax.jit)"


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 80 columns where no more than three frameworks are compared.

    What explains or is of other versions is left out where there would be too many lines.

    Args:
        warnings: of the machine's load.
    """

    def folded(texts: Iterable[str]) -> list[str]:
        how = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
        return [line for text in texts for line in wrap(text, WIDTH, **how)]

    above, times, below = [*warnings, *head_lines(found)], list(_times(found)), more_lines(found)
    above += [HEADINGS] * any(row.cells.keys() == {*WAYS} for row in found.rows)
    apart: list[str] = []
    for left_out in ((), (HEADINGS,), (HEADINGS, *version_lines(found))):
        first, last = (folded(line for line in lines if line not in left_out) for lines in (above, below))
        apart = [line for part in (first, times, last) if part for line in ("", *part)][1:]
        if len(apart) > LINES:
            apart = [line for line in apart if line]
        if len(apart) <= LINES:
            break
    return apart


def head_lines(found: Answer) -> list[str]:
    """What failed or is missing, then which framework is the fastest, in a sentence for each situation."""
    return [*problem_lines(found), *fastest_lines(found)]


def more_lines(found: Answer) -> list[str]:
    """How sure it is, what to write, what other versions change, what was proven and where it was measured."""
    heading, advice = advice_of(found)
    to_write = [heading, *(f"  {who}: {code}" for who, code in advice)] if advice else []
    return [*sure_lines(found), *to_write, *version_lines(found), *proof_lines(found)]


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
        lines.append(f"Too noisy to choose in {where}: differences of {hidden} do not show.")
    return lines


def fastest_lines(found: Answer) -> list[str]:
    """Which framework is the fastest, as documented and in functional style, in one step and in training.

    Steps are waited for, and train steps are not, where the run has both. Where others are the fastest if train steps
    are waited for, that is a sentence of its own.
    """
    lines = []
    for phase in shown_phases(found):
        rows = [row for row in found.rows if row.phase == phase]
        others = [row.other for row in rows if row.other]
        situation, waited = (others, rows) if len(others) == len(rows) else (rows, [])
        judged, by_other = _judged(situation), _judged(waited, brief=True)
        lines += _sentence(phase, situation, judged)
        if phase == "train_step" and any(judged.get(called, of)[0] != of[0] for called, of in by_other.items()):
            lines += _sentence(phase, waited, by_other)
    # what a ratio is, once
    return [re.sub(r"[(](\w+) (?=[0-9])", r"(\1 takes ", line, count=1) for line in lines[:1]] + lines[1:]


def shown_phases(found: Answer) -> list[str]:
    """The phases on the screen: where one step and train steps were timed, no others."""
    phases = [phase for phase in SUBJECTS if any(row.phase == phase for row in found.rows)]
    return [phase for phase in phases if phase in MAIN] if {*MAIN} <= {*phases} else phases


def _judged(rows: list[Row], *, brief: bool = False) -> dict[str, tuple[object, str]]:
    """By way, which frameworks are the fastest, in each row where they differ, and the text that says so.

    Args:
        brief: without the times of the others.
    """
    return {CALLED[way]: of_way for way in WAYS if (of_way := _fastest(rows, way, brief))}


def _sentence(phase: str, rows: list[Row], judged: dict[str, tuple[object, str]]) -> list[str]:
    """A sentence, or none."""
    subject = f"{SUBJECTS[phase]} ({WAITING[rows[0].clock]})" if phase in MAIN else SUBJECTS[phase]
    text = "; ".join(f"{called}, {text}" for called, (_, text) in judged.items())
    return [f"{subject}, fastest: {text}."] * bool(judged)


def _fastest(rows: list[Row], way: str, brief: bool) -> tuple[object, str] | None:
    """Of one way, what `_judged` returns; None where that cannot be judged."""
    rows = [row for row in rows if len(row.cells.get(way, {})) > 1]
    if not rows or not all(row.fastest.get(way) for row in rows):
        return None
    ratios = [ratio for row in rows for _, ratio in _slower(row, way, row.fastest[way])]
    if not ratios:
        return (), "none (no difference was shown)"
    if max(ratios) < NEAR:
        return (), f"none (all are within {ceil((max(ratios) - 1) * 100)}%)"
    first = {*rows[0].fastest[way]}.intersection(*(row.fastest[way] for row in rows))
    if any(True for row in rows for _ in _slower(row, way, first)):
        return first, _first_of(rows, way, first, brief)
    groups = grouped(rows, lambda row: frozenset(row.fastest[way]))
    texts = []
    for ports, of in groups.items():
        at, tied = f" at {_sizes(of, rows)}", len(ports) == len(of[0].cells[way])
        texts.append(f"none{at} (no difference was shown)" if tied else _first_of(of, way, ports, brief, at))
    return [*groups], ", ".join(texts)


def _slower(row: Row, way: str, first: Iterable[str]) -> Iterator[tuple[str, float]]:
    """The frameworks that are slower than one of the fastest, with the ratio of the times that are shown."""
    for d in row.pairs[way]:
        two = [name.partition("[")[0] for name in (d.one, d.other)]
        slow, fast = two if d.ratio > 1 else two[::-1]
        if d.is_real and fast in first:
            yield slow, max(row.cells[way][slow].time_s / row.cells[way][fast].time_s, 1.0)


def _first_of(rows: list[Row], way: str, first: Iterable[str], brief: bool, where: str = "") -> str:
    """The fastest frameworks of some rows, and in brackets how many times as long the others take."""
    over = grouped((of for row in rows for of in _slower(row, way, first)), lambda of: of[0])
    texts = []
    for port, pairs in over.items() if not brief else ():
        tied = [row for row in rows if port in row.fastest[way]]
        at = f"tied at {_sizes(tied, rows)}, else " if tied else ""
        texts.append(f"{name_of(port)} {at}{_times_text(ratio for _, ratio in pairs)}")
    in_order = sorted(first, key=lambda port: rows[0].cells[way][port].time_s)
    return listed(map(name_of, in_order)) + where + f" ({', '.join(texts)})" * bool(texts)


def _times_text(ratios: Iterable[float]) -> str:
    """How many times as long something takes, in all of some rows.

    >>> _times_text([1.064, 2.31]), _times_text([1.151])
    ('1.06-2.3x', '1.15x')
    """
    return from_to(ratios, lambda ratio: f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}").replace(" to ", "-") + "x"


def _sizes(some: list[Row], rows: list[Row]) -> str:
    """What tells some of the rows apart: the first of B, T, D and H that does, or all."""
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    letters = zip(*(shape.split() for shape in shapes), strict=False)
    sizes = next((of for of in letters if len({*of}) == len(of)), shapes)
    return listed(size for size, row in zip(sizes, rows, strict=True) if row in some)


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and which differences the run can show."""
    blocks = [(row, way, cells) for row in found.rows for way, cells in row.cells.items()]
    lines = []
    if any(row.fastest.get(way) for row in found.rows for way in WAYS):
        least = [row.least for row in found.rows if row.least is not None]
        within = f" within that row's noise ({from_to(least, '{:.0%}'.format)})" if least else ""
        lines.append(f"{STAR}tied{within}.")
    if any(len(cells) > 1 and not row.fastest.get(way) for row, way, cells in blocks):
        lines.append("Where no framework is marked, too few rounds were measured to tell.")
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    apart = {(port, cell.differs) for _, _, cells in blocks for port, cell in cells.items() if cell.differs}
    return lines + sorted(f"In brackets, {name_of(port)} is not compared: {why}." for port, why in apart)


def advice_of(found: Answer) -> tuple[str, list[tuple[str, str]]]:
    """What to write in the row where that saves the largest share: a heading; frameworks with their times, and code.

    Only of calls that take less time than the framework's documented and its functional one.
    """

    def saved(row: Row) -> float:
        return max((d.ratio for port, d in row.advised.items() if is_here(port) and d.verdict == "slower"), default=1.0)

    row = max(found.rows, key=saved, default=None)
    if row is None or saved(row) < WORTH:
        return "", []
    advised: list[tuple[str, str, float]] = []
    for port in row.cells[DOCUMENTED]:
        d = row.advised.get(port)
        if not is_here(port) or d is None or d.verdict != "slower" or d.ratio < WORTH:
            continue
        cell, functional = row.keeping.get(port), row.cells.get(FUNCTIONAL, {}).get(port)
        if cell is None or (functional and functional.time_s < NEAR * cell.time_s):
            continue
        (summary,) = (style.summary for style in get_port(port).call_styles if style.name == cell.style)
        advised.append((_made_once(summary), name_of(port), cell.time_s))
    if not advised:
        return "", []
    size = describe(row.workload).partition(":")[0]
    phase = PHASES[row.phase] if row.phase == "step" else f"a {PHASES[row.phase]}"
    above = min(cell.time_s for cells in row.cells.values() for cell in cells.values())
    than = "the above" if min(time_s for *_, time_s in advised) < above else "both"
    lines = [
        (", ".join(f"{name} {format_time(time_s)}" for _, name, time_s in of), code)
        for code, of in grouped(advised, lambda of: of[0]).items()
    ]
    return f"Faster than {than}, and keeps state: {phase}, {size}:", lines


def _made_once(summary: str) -> str:
    """The code of a call style, in which what is made once stands apart from the call.

    >>> _made_once("jax.jit(f)(model, x)")
    'call = jax.jit(f); call(model, x)'
    """
    if summary.startswith("call = "):
        return summary
    made, _, arguments = summary.removesuffix(")").rpartition("(")
    return f"call = {made}; call({arguments})"


def version_lines(found: Answer) -> list[str]:
    """What other versions of jax change, from the published runs; nothing where those of the run are not among them."""
    if "linen" not in found.ports:
        return []
    is_known = ".".join(found.machine.versions.get("jax", "").split(".")[:2]) in BY_SERIES
    (older, then), (newer, now) = BY_SERIES.items()
    return [CHANGED.format(1 - now / then, newer, older)] * is_known


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    machine, known = found.machine, found.machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    equal = [_proven(p) for p in found.proofs or () if p.is_equal]
    is_all = equal == [name_of(port) for port in ("pure", *found.ports)]
    proven = ""
    if found.proofs is None:
        proven = "Not verified before timing: the first results of each arm were compared with the oracle."
    elif equal:
        whole = WHOLE in found.dtypes
        proven = "All proven equal" if is_all and whole else "Proven equal" if whole else "Proven equal to each other"
        proven += f" ({count(len(found.checks), 'check')})" * whole
        proven += "" if is_all else f" ({', '.join(equal)})"
        cells = ", ".join(CELLS[port] for port in found.ports if port in CELLS and name_of(port) in equal)
        proven = f"{proven}: {cells}." if cells else f"{proven}."
    arithmetic = "" if found.arithmetic == "float32" else f", {found.arithmetic}"
    device = f"{machine.device} CPU" if machine.backend == "cpu" and "CPU" not in machine.device else machine.device
    threads = f", {count(machine.threads, 'thread')}" if machine.threads else ""
    where = f"{device}{threads}, {found.datetime[:10]}{arithmetic}; {versions}"
    return [*[proven] * bool(proven), where]


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

    for beside in [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]:
        width = sum(widths) + len(widths) - 1
        called = GAP.join(f"{CALLED[way] + IN_JIT * (way == FUNCTIONAL):{width}}" for way in beside)
        yield f"{'Median per call':{PHASE_WIDTH}}{'plain':>{TIME_WIDTH - 1}} {GAP}{called}".rstrip()
        yield line(processes, "JAX ", [[f"{name} " for name in names]] * len(beside))
        phases = shown_phases(found)
        for rows in grouped((row for row in found.rows if row.phase in phases), lambda row: str(row.workload)).values():
            yield describe(rows[0].workload)
            for row in chain.from_iterable((row, row.other) for row in rows):
                if row is None:
                    continue
                by_clock = f"{row.phase.partition('_')[0]}, {WAITING[row.clock]}"
                first = f" {by_clock if row.other or row not in rows else PHASES[row.phase]}"
                times = ([_cell(row, way, port) for port in found.ports] for way in beside)
                yield line(first, f"{format_time(row.plain_s)} ", times)


def _cell(row: Row, way: str, port: str) -> str:
    """The time of a framework, with a star where no other is faster; "-" where it has none."""
    cell = row.cells.get(way, {}).get(port)
    if cell is None:
        return "- "
    time = format_time(cell.time_s)
    return f"({time})" if cell.differs else time + ("*" if port in row.fastest.get(way, ()) else " ")

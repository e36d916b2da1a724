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
from ..analysis.answer import NOISY_FLOOR, WAYS, Answer, Row, answer
from ..results.grouping import grouped
from ..results.proof import Proof
from ..results.record import Results
from .console import say, show, show_lines
from .equality import equality_tables
from .exports import answer_record
from .naming import CALLED, CELLS, PHASES, describe, is_here, name_of
from .numbers import count, format_time, from_to, json_text
from .provenance import load_warnings, provenance_lines
from .times import overhead_tables, speedup_tables, time_tables

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
STAR = "*: fastest or too close to tell. "
#: The ratio of the published runs that versions change the most, by the series of jax; see docs/releases.md.
CHANGED = "linen's train step, B=1: {} plain JAX's time with jax {}, {} with {}."
BY_SERIES, PUBLISHED = {"0.10": 2.75, "0.12": 1.61}, "2026-11-29"
#: The end of a sentence about one framework or several; of a slower one that is tied with them in some rows.
FASTEST, TIES = " fastest", " or ties"
#: What a loop of calls does, by the clock.
WAITING = {"blocked": "waited for", "pipelined": "no wait"}
#: What the two headings of a table mean.
HEADINGS = "Documented: as in docs; functional: jax.jit(f)(params, x); code: trigru styles."


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
    to_write = [heading, *(f"  {name:8} {code}: {time}" for name, code, time in advice)] if advice else []
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
    if floors := [row.baseline.floor for row in found.rows if row.baseline.floor > NOISY_FLOOR]:
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
        judged, by_other = _judged(situation), _judged(waited)
        moved = {called: of for called, of in by_other.items() if called in judged and of[0] != judged[called][0]}
        subject = f"{SUBJECTS[phase]} ({WAITING[situation[0].clock]})" if phase in MAIN else SUBJECTS[phase]
        lines += _sentences(subject, judged)
        if phase == "train_step" and moved:
            lines += _sentences(f"{SUBJECTS[phase]} ({WAITING[waited[0].clock]})", moved)
    return lines


def shown_phases(found: Answer) -> list[str]:
    """The phases on the screen: where one step and train steps were timed, no others."""
    phases = [phase for phase in SUBJECTS if any(row.phase == phase for row in found.rows)]
    return [phase for phase in phases if phase in MAIN] if {*MAIN} <= {*phases} else phases


def _judged(rows: list[Row]) -> dict[str, tuple[str, str]]:
    return {CALLED[way]: of_way for way in WAYS if (of_way := _fastest(rows, way))}


def _sentences(subject: str, judged: dict[str, tuple[str, str]]) -> list[str]:
    """A sentence, or none. A word that its first half has is not said again."""
    first, *more = [f"{called}, {verdict}{others}" for called, (verdict, others) in judged.items()] or [""]
    for verb, forms in ((FASTEST, FASTEST), (" take", " takes?")):
        more = [re.sub(forms, "", clause) if verb in first else clause for clause in more]
    return [f"{subject}: {'; '.join([first, *more])}."] * bool(judged)


def _fastest(rows: list[Row], way: str) -> tuple[str, str] | None:
    """Which frameworks are the fastest in all of some rows, and what others take; None where that cannot be judged."""
    rows = [row for row in rows if len(row.cells.get(way, {})) > 1]
    if not rows or not all(row.fastest.get(way) for row in rows):
        return None
    ratios: dict[tuple[str, str], float] = {}  # of a slower framework and a faster one, the largest of the shown times
    for cells, d in ((row.cells[way], d) for row in rows for d in row.pairs[way] if d.is_real):
        two = [name.partition("[")[0] for name in (d.one, d.other)]
        slow, fast = two if d.ratio > 1 else two[::-1]
        ratio = cells[slow].median_s / cells[fast].median_s
        ratios[slow, fast] = max(ratio, ratios.get((slow, fast), 1.0))
    if not ratios:
        return "no difference was shown", ""
    most = max(ratios.values())
    if most < NEAR:
        return f"all are within {ceil((most - 1) * 100)}%", ""
    first = [port for port in rows[0].fastest[way] if all(port in row.fastest[way] for row in rows)]
    over = grouped(((slow, ratio) for (slow, fast), ratio in ratios.items() if fast in first), lambda of: of[0])
    if not over:  # none is the fastest throughout, or one is tied with others that change places
        return _fastest_by_size(rows, way), f" (others take up to {most:.2f}x)"
    texts = [
        f"{max(ratio for _, ratio in of):.2f}x{TIES * any(port in row.fastest[way] for row in rows)}"
        for port, of in over.items()
    ]
    names = [name_of(port) for port in over]
    others = "".join(f", {name} {text}" for name, text in zip(names[1:], texts[1:], strict=True))
    return f"{_are(first)}{FASTEST}", f" ({names[0]} takes up to {texts[0]}{others})"


def _are(ports: Iterable[str]) -> str:
    first, *more = map(name_of, ports)
    return f"{listed([first, *more])} {'are' if more else 'is'}"


def _fastest_by_size(rows: list[Row], way: str) -> str:
    """Which frameworks are the fastest at which sizes, by the first of B, T, D and H that tells the rows apart."""
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    letters = zip(*(shape.split() for shape in shapes), strict=False)
    sizes = next((of for of in letters if len({*of}) == len(of)), shapes)
    tied = [size for size, row in zip(sizes, rows, strict=True) if len(row.fastest[way]) == len(row.cells[way])]
    apart = [(size, row) for size, row in zip(sizes, rows, strict=True) if size not in tied]
    found = grouped(apart, lambda of: tuple(of[1].fastest[way]))
    (first, of_first), *more = ((ports, listed(size for size, _ in of)) for ports, of in found.items())
    texts = [f"{_are(first)}{FASTEST} at {of_first}"]
    texts += [f"{listed(map(name_of, ports))} at {of}" for ports, of in more]
    if tied:
        texts.append(f"no difference was shown at {listed(tied)}")
    return ", ".join(texts)


def sure_lines(found: Answer) -> list[str]:
    """What a star and brackets mean, and which differences the run can show."""
    blocks = [(row, way, cells) for row in found.rows for way, cells in row.cells.items()]
    lines = []
    if any(row.fastest.get(way) for row in found.rows for way in WAYS):
        least = [row.least for row in found.rows if row.least is not None]
        unseen = f"Differences below {from_to(least, '{:.0%}'.format)} may be missed." if least else ""
        lines.append(f"{STAR}{unseen}".strip())
    if any(len(cells) > 1 and not row.fastest.get(way) for row, way, cells in blocks):
        lines.append("Where no framework is marked, too few rounds were measured to tell.")
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    apart = {(port, why) for row, _, cells in blocks for port, b in cells.items() if (why := row.apart(b))}
    return lines + sorted(f"In brackets, {name_of(port)} is not compared: {why}." for port, why in apart)


def advice_of(found: Answer) -> tuple[str, list[tuple[str, str, str]]]:
    """What to write in the row where that saves the largest share: a heading; name, code and time of a framework.

    Only of calls that take less time than the framework's documented and its functional one.
    """

    def saved(row: Row) -> float:
        return max((d.ratio for port, d in row.advised.items() if is_here(port) and d.verdict == "slower"), default=1.0)

    row, lines = max(found.rows, key=saved, default=None), []
    if row is None or saved(row) < WORTH:
        return "", []
    for port in row.cells[DOCUMENTED]:
        d = row.advised.get(port)
        if not is_here(port) or d is None or d.verdict != "slower" or d.ratio < WORTH:
            continue
        kept, functional = row.keeping.get(port), row.cells.get(FUNCTIONAL, {}).get(port)
        if kept is None or (functional and functional.median_s < NEAR * kept.median_s):
            continue
        for style in get_port(port).call_styles:
            if style.name == kept.arm.style:
                lines.append((name_of(port), _made_once(style.summary), format_time(kept.median_s)))
    if not lines:
        return "", []
    size = describe(row.workload).partition(":")[0]
    phase = PHASES[row.phase] if row.phase == "step" else f"a {PHASES[row.phase]}"
    return f"Faster than both: {phase}, {size}:", lines


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
    is_known = ".".join(found.run.trigru.machine.versions.get("jax", "").split(".")[:2]) in BY_SERIES
    (older, then), (newer, now) = BY_SERIES.items()
    return [CHANGED.format(f"{then}x", older, f"{now}x", newer)] * is_known


def proof_lines(found: Answer) -> list[str]:
    """What was proven before timing, and where all was measured."""
    run, machine = found.run.trigru, found.run.trigru.machine
    known = machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    equal = [_proven(p) for p in found.proofs or () if p.is_equal]
    is_all = equal == [name_of(port) for port in ("pure", *found.ports)]
    proven = ""
    if found.proofs is None:
        proven = "Not verified before timing: the first results of each arm were compared with the oracle."
    elif equal:
        whole = any(m.dtype == WHOLE for m in run.begun.equality or ())
        proven = "All proven equal" if is_all and whole else "Proven equal" if whole else "Proven to compute the same"
        proven += f" ({count(len({m.check for m in run.begun.equality or ()}), 'check')})" * whole
        proven += "" if is_all else f" ({', '.join(equal)})"
        cells = ", ".join(CELLS[port] for port in found.ports if port in CELLS and name_of(port) in equal)
        proven = f"{proven}: {cells}." if cells else f"{proven}."
    arithmetic = "" if run.plan.arithmetic == "float32" else f", {run.plan.arithmetic}"
    device = f"{machine.device} CPU" if machine.backend == "cpu" and "CPU" not in machine.device else machine.device
    threads = f", {count(machine.threads, 'thread')}" if machine.threads else ""
    where = f"{device}{threads}, {found.run.datetime[:10]}{arithmetic}; {versions}"
    return [*[proven] * bool(proven), where]


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")


def _times(found: Answer) -> Iterator[str]:
    """The tables of times: both ways beside each other, or one below the other where there are many frameworks."""
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    names = [name_of(port) for port in found.ports]
    widths = [max(TIME_WIDTH, len(name) + 1) for name in names]
    processes = f"{found.processes} process{'es' * (found.processes != 1)}"

    def line(first: str, plain: str, blocks: Iterable[Iterable[str]]) -> str:
        texts = (" ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True)) for cells in blocks)
        return f"{first:{PHASE_WIDTH}}{plain:>{TIME_WIDTH}}{GAP}{GAP.join(texts)}".rstrip()

    for beside in [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]:
        width = sum(widths) + len(widths) - 1
        called = GAP.join(f"{CALLED[way]:{width}}" for way in beside)
        yield f"{'Time of a call':{PHASE_WIDTH}}{'plain':>{TIME_WIDTH - 1}} {GAP}{called}".rstrip()
        yield line(processes, "JAX ", [[f"{name} " for name in names]] * len(beside))
        phases = shown_phases(found)
        for rows in grouped((row for row in found.rows if row.phase in phases), lambda row: str(row.workload)).values():
            yield describe(rows[0].workload)
            for row in chain.from_iterable((row, row.other) for row in rows):
                if row is None:
                    continue
                named = PHASES[row.phase]
                first = f" {named if row in rows else f'{named.split()[0]}, {WAITING[row.clock]}'}"
                times = ([_cell(row, way, port) for port in found.ports] for way in beside)
                yield line(first, f"{format_time(row.baseline.median_s)} ", times)


def _cell(row: Row, way: str, port: str) -> str:
    """The time of a framework, with a star where no other is faster; "-" where it has none."""
    b = row.cells.get(way, {}).get(port)
    if b is None:
        return "- "
    time = format_time(b.median_s)
    return f"({time})" if row.apart(b) else time + ("*" if port in row.fastest.get(way, ()) else " ")

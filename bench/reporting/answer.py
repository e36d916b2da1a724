"""The answer of a run on one screen: what was proven, what each framework takes, why, and what to write."""

from collections.abc import Iterable, Sequence
from functools import cache
from textwrap import wrap

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..analysis.answer import WAYS, Answer, Cell, Difference, Row
from ..analysis.equality import Proof
from ..analysis.statistics import Comparison
from ..arms.plan import FEW_PROCESSES
from ..arms.workloads import WORKLOADS, get_workload
from ..results.grouping import grouped
from ..results.record import Sized
from .newest import newer_versions
from .numbers import count, format_interval, format_time, format_time_range, from_to

#: A dtype in which the whole contract is asked, and a first look is not.
WHOLE = "bfloat16"
#: Of a terminal.
WIDTH, LINES = 100, 40
PHASE_WIDTH, TIME_WIDTH, GAP = 16, 7, 2
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
HEADINGS = {DOCUMENTED: "as documented", FUNCTIONAL: "called alike (functional)"}
PHASES = {"forward": "forward pass", "gradient": "gradient", "train_step": "train step", "step": "one time step"}
#: From this many units on, the fused kernel trains faster in every framework on most workloads (docs/kernel.md).
FUSED_FROM = 64
#: How many lines say so at most.
MOST_PAIRS, MOST_UNTIMED = 3, 3


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 100 columns where no more than three frameworks are compared.

    Args:
        warnings: of the machine's load.
    """
    prose = [[*warnings, *proof_lines(found)], reason_lines(found), advice_lines(found), limit_lines(found)]
    parts = [[line for text in part for line in _fold(text)] for part in prose]
    parts.insert(1, _times(found))
    apart = [line for part in parts if part for line in ("", *part)][1:]
    return apart if len(apart) <= LINES else [line for line in apart if line]


def _fold(text: str) -> list[str]:
    """Lines of one sentence."""
    return wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def name_of(port: str) -> str:
    """What a sentence calls a port, or a peer.

    >>> name_of("nnx"), name_of("pure"), name_of("torch")
    ('NNX', 'plain JAX', 'torch')
    """
    return get_port(port).title.removeprefix("Flax ") if _is_here(port) else port


@cache
def _is_here(port: str) -> bool:
    return port in port_names() and unavailable(port) is None


def describe(workload: Sized) -> str:
    """A workload as what it stands for.

    >>> describe(Sized("question"))
    '20 inputs, 200 units, 1 sequence of 50 steps (question)'
    """
    if workload.name not in {known.name for known in WORKLOADS}:
        return str(workload)
    sizes = get_workload(workload)
    steps = f"{'up to ' if sizes.classes else ''}{count(sizes.time, 'step')}"
    classes = "" if sizes.classes is None else f", {sizes.classes} classes"
    return (
        f"{count(sizes.input_size, 'input')}, {count(sizes.hidden_size, 'unit')}{classes}, "
        f"{count(sizes.batch_size, 'sequence')} of {steps}" + ("" if workload.sizes else f" ({workload.name})")
    )


def proof_lines(found: Answer) -> list[str]:
    """What was proven, in a line; what failed, and what has no number."""
    lines = [] if found.complete else ["INTERRUPTED: not all was measured."]
    if found.proofs is None:
        lines.append("Not verified before timing: the first results of each arm were compared with the oracle.")
    else:
        lines += _proof(found.proofs, found)
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    return lines + _first(untimed, MOST_UNTIMED)


def _first(lines: list[str], most: int) -> list[str]:
    more = len(lines) - most
    return lines[:most] + ([f"... and {more} more (--details)."] if more > 0 else [])


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
        lines.append("Asked of what is timed here, and no more: `trigru verify` asks about the whole contract.")
    return lines


def limit_lines(found: Answer) -> list[str]:
    """What the numbers cannot tell."""
    machine, known = found.machine, found.machine.versions
    names = ("python", "jax", "flax", "equinox")
    versions = ", ".join(f"{name} {known[name]}" for name in names if name in known)
    processes = "1 process" if found.processes == 1 else f"{found.processes} processes"
    lines = [
        f"One machine ({machine.device}, {count(machine.threads, 'thread')}, {found.datetime[:10]}), float32, "
        f"{processes}; {versions}."
    ]
    if found.least is not None:
        lines[0] += f" Differences from plain JAX below {found.least:.1%} may have been missed."
    if found.processes == 1:
        lines.append("One process does not show how processes differ: small differences may be chance.")
    elif found.processes <= FEW_PROCESSES:
        lines.append("Few processes: 92 % of such 95 % intervals held what a long run found (docs/measurement.md).")
    if any(len(cells) > 1 and not row.fastest.get(way) for row in found.rows for way, cells in row.cells.items()):
        lines.append("Where no framework is named, too few rounds were measured to tell, or what they do differs.")
    return lines + newer_versions(known)


def _times(found: Answer) -> list[str]:
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    blocks = [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]
    lines = [line for block in blocks for line in _block(found, block)]
    differing = {
        f"*{name_of(port)} is not compared: {cell.differs}."
        for row in found.rows
        for cells in row.cells.values()
        for port, cell in cells.items()
        if cell.differs
    }
    return lines + sorted(differing) + legend_lines(found)


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

    lines = [
        f"{'Time of a call':{PHASE_WIDTH}} " + " ".join(f"{HEADINGS[way]:{block}}" for way in ways).rstrip(),
        line("", [(names, "fastest")] * len(ways)),
    ]
    for rows in grouped(found.rows, lambda row: str(row.workload)).values():
        lines.append(describe(rows[0].workload))
        lines += [
            line(f"  {PHASES.get(row.phase, row.phase)}", [_cells(found.ports, row, way) for way in ways])
            for row in rows
        ]
    return lines


def _cells(ports: list[str], row: Row, way: str) -> tuple[list[str], str]:
    cells, fastest = row.cells.get(way, {}), row.fastest.get(way, [])
    compared = [cell for cell in cells.values() if not cell.differs]
    times = [
        format_time(cells[port].time_s) + "*" * bool(cells[port].differs) if port in cells else "-" for port in ports
    ]
    none = len(fastest) == len(compared) > 1
    return times, "not told apart" if none else ", ".join(map(name_of, fastest)) or "-"


def reason_lines(found: Answer) -> list[str]:
    """Which differences are real, and what is known of their causes."""
    of_port = {port: [row.styles[port] for row in found.rows if port in row.styles] for port in found.ports}
    way = FUNCTIONAL if any(row.pairs.get(FUNCTIONAL) for row in found.rows) else DOCUMENTED
    met = [(row, d) for row in found.rows for d in row.pairs.get(way, ())]
    lines = _style_reasons(
        [(port, slower, len(all_of)) for port, all_of in of_port.items() if (slower := _slower(all_of))]
    )
    ratios, alike = [], []
    for of_two in grouped(met, lambda two: (two[1].one, two[1].other)).values():
        if any(d.is_real for _, d in of_two):
            ratios.append(_pair_reason(found, of_two))
        elif all(row.fastest.get(way) for row, _ in of_two):
            one, other = (name_of(name.partition("[")[0]) for name in (of_two[0][1].one, of_two[0][1].other))
            alike.append(f"{one} / {other}: no difference beyond chance; 0 of {len(of_two)}.")
    lines += _first([line for _, line in sorted(ratios, key=lambda told: -told[0])] + alike * bool(ratios), MOST_PAIRS)
    if not lines:
        every = [d for row in found.rows for some in (*row.pairs.values(), row.styles.values()) for d in some]
        told = all(row.fastest.get(way) for row in found.rows for way in row.pairs if row.pairs[way])
        if every and told and not any(d.is_real for d in every):
            return ["No difference between frameworks, or between their call styles, is beyond chance."]
        return []
    heading = "called alike" if way == FUNCTIONAL else "as documented"
    head = f"Beyond chance at 95 %, in how many rows; {heading}: the largest ratio, and how programs differ:"
    return [head, *(f"- {line}" for line in lines)]


def _slower(differences: list[Difference]) -> list[Difference]:
    return [d for d in differences if d.verdict == "slower"]


def _style_reasons(slower: list[tuple[str, list[Difference], int]]) -> list[str]:
    """What documented styles cost over functional ones, and why; once, if it is the same in several frameworks."""
    told = [_style_reason(*of_port) for of_port in slower]
    if len(told) > 1 and len({why for _, why in told}) == 1:
        return [*(f"{text}." for text, _ in told), f"In {'both' if len(told) == 2 else 'all'}: {told[0][1]}."]
    return [f"{text}: {why}." for text, why in told]


def _style_reason(port: str, slower: list[Difference], rows: int) -> tuple[str, str]:
    ordered = sorted(slower, key=lambda d: d.difference_s)
    words = {
        "boundary": "crossing the jit boundary",
        "unexplained": "unexplained",
        "unread": "no program to look at",
        "equations": "other equations",
    }
    causes = grouped(slower, lambda d: _called_otherwise(d) if d.cause == "style" else words.get(d.cause, d.cause))
    why = ", ".join(f"{cause} ({len(some)})" if len(causes) > 1 else cause for cause, some in causes.items())
    cost = from_to(*map(_cost, (ordered[0], ordered[-1])))
    one, other = _style(slower[0].one), _style(slower[0].other)
    return f"{name_of(port)}, `{one}`: {cost} over `{other}`, {len(slower)} of {rows}", why


def _called_otherwise(difference: Difference) -> str:
    """Two styles of one framework whose programs are not the same: often, one hands back more."""
    if {name for name, *_ in difference.counts} <= {"fusions"}:
        return "called in another way; XLA's program differs, with as many products and loops"
    return f"called in another way, and another program ({_counted(difference.counts)})"


def _cost(difference: Difference) -> str:
    """Seconds per call with their interval."""
    times_s = difference.difference_s, difference.difference_low_s, difference.difference_high_s
    return f"+{format_time_range(*times_s)}"


def _pair_reason(found: Answer, of_two: list[tuple[Row, Difference]]) -> tuple[float, str]:
    """Two frameworks, the one first that takes longer in more rows, and where it does so the most."""
    real = [(row, d) for row, d in of_two if d.is_real]
    ratios = {id(d): Comparison(d.ratio, d.low, d.high) for _, d in real}
    ratios |= {id(d): ratios[id(d)].inverse for _, d in real if d.verdict == "faster"}
    ways = grouped(sorted(real, key=lambda two: -ratios[id(two[1])].ratio), lambda two: two[1].verdict)
    first = max(ways.values(), key=len)  # of equally many, the way of the largest ratio
    row, most = first[0]
    one, other = (name_of(name.partition("[")[0]) for name in (most.one, most.other))
    counts = [(name, mine, its) for name, mine, its in most.counts]
    if most.verdict == "faster":
        one, other, counts = other, one, [(name, its, mine) for name, mine, its in counts]
    alone = len({str(r.workload) for r in found.rows}) == 1
    where = PHASES.get(row.phase, row.phase) if alone else f"{row.workload} {row.phase.replace('_', ' ')}"
    why = {
        "program": _counted(counts),
        "boundary": "one program, alike as lists of arrays: the jit boundary",
        "style": "called in other ways",
        "equations": "other equations",
        "unread": "no program to look at",
    }.get(most.cause, "unexplained: the same program")
    reverse = f", {len(real) - len(first)} reversed" if len(first) < len(real) else ""
    largest = ratios[id(most)]
    text = f"{one} / {other}: {format_interval(largest)} ({where}; {why}); {len(first)} of {len(of_two)}{reverse}."
    return largest.ratio, text


def _counted(counts: Sequence[tuple[str, int, int]]) -> str:
    """What programs differ in; that need not be what takes the time."""
    words = {"dots": "products", "whiles": "loops"}
    if not counts:
        return "as many operations"
    name, mine, its = counts[0]
    return f"{mine} {words.get(name, name)} to {its}"


def advice_lines(found: Answer) -> list[str]:
    """What to write for the fast number."""
    lines, cautions, as_documented = [], [], []
    for port in found.ports:
        slower = _slower([row.styles[port] for row in found.rows if port in row.styles])
        if not slower and any(port in row.cells.get(FUNCTIONAL, {}) for row in found.rows):
            as_documented.append(name_of(port))
        styles = {style.name: style for style in get_port(port).call_styles} if _is_here(port) else {}
        style = styles.get(_style(slower[0].other)) if slower else None
        if style:
            lines.append(f"  {name_of(port):8} {style.summary}")
            cautions += [f"  {name_of(port)}: {style.caution}."] * bool(style.caution)
    if lines:
        fast = f"; {', '.join(as_documented)}: as documented" if as_documented else ""
        head = f"For the fast number, write (in full: `trigru styles PORT functional`{fast}):"
        lines = [head, *lines, *cautions]
    if any(_units(row.workload) >= FUSED_FROM for row in found.rows if row.phase == "train_step"):
        lines.append("To train, try --kernel fused, too: on most sizes faster in every framework (docs/kernel.md).")
    return lines


def _units(workload: Sized) -> int:
    known = workload.name in {known.name for known in WORKLOADS}
    return get_workload(workload).hidden_size if known else 0


def _style(name: str) -> str:
    return name.partition("[")[2].rstrip("]")


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")

"""The answer of a run on one screen: what was proven, what each framework takes, why, and what to write."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from ...common.equality.checks import CHECKS
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, unavailable
from ..analysis.answer import WAYS, Answer, Difference, Row, real
from ..analysis.equality import Proof
from ..arms.workloads import WORKLOADS, get_workload
from ..results.grouping import grouped
from ..results.record import Sized
from .newest import newer_versions
from .numbers import count, format_time, from_to

#: Of a terminal.
WIDTH, LINES = 100, 40
PHASE_WIDTH, TIME_WIDTH, GAP = 16, 7, 2
#: More frameworks than these do not fit beside each other twice.
SIDE_BY_SIDE = 3
HEADINGS = {DOCUMENTED: "as documented", FUNCTIONAL: "called alike (functional)"}
PHASES = {"forward": "forward pass", "gradient": "gradient", "train_step": "train step", "step": "one time step"}
#: From this many units on, the fused kernel trains faster in every framework (docs/kernel.md).
FUSED_FROM = 64
#: How many lines say so at most.
MOST_REASONS, MOST_UNTIMED = 8, 3


def answer_lines(found: Answer, warnings: Iterable[str] = ()) -> list[str]:
    """The screen, of at most 100 columns where no more than three frameworks are compared.

    Args:
        warnings: of the machine's load.
    """
    prose = [[*proof_lines(found)], _reasons(found), _advice(found), [*limit_lines(found), *warnings]]
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
    known = unavailable_or_title(port)
    return port if known is None else known.removeprefix("Flax ")


def unavailable_or_title(port: str) -> str | None:
    """The title of a port that is known and available here; None of others."""
    from ...impls import port_names

    return get_port(port).title if port in port_names() and not unavailable(port) else None


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
    lines = (
        _proof(found.proofs, found.checks)
        if found.proofs is not None
        else ["Not verified before timing: the first results of each arm were compared with the oracle."]
    )
    lines += [f"Not here: {reason}" for reason in found.missing.values()]
    untimed = [f"Without a number: {name}, {count(rows, 'time')}: {why}" for name, (why, rows) in found.untimed.items()]
    more = len(untimed) - MOST_UNTIMED
    return lines + untimed[:MOST_UNTIMED] + ([f"... and {more} more (--details)."] if more > 0 else [])


def _proof(proofs: list[Proof], checks: list[str]) -> list[str]:
    equal = [p for p in proofs if p.is_equal]
    lines = [
        f"FAILED: {_proven(p)} is not proven equal ({', '.join(p.failed)}); it has no number."
        for p in proofs
        if not p.is_equal
    ]
    errors = [p.worst_error for p in equal if p.worst_error is not None]
    worst = f", worst error {max(errors):.0e}; 1e-12 is allowed" if errors else ""
    if equal:
        names = ", ".join(_proven(p) for p in equal)
        lines.append(f"Proven equal: {names} ({count(len(checks), 'check')}{worst}).")
    if not {check.name for check in CHECKS} <= {*checks}:
        lines.append("Asked of what is timed here, and no more: `trigru verify` asks about the whole contract.")
    return lines


def limit_lines(found: Answer) -> list[str]:
    """What the numbers cannot tell."""
    machine, known = found.machine, found.machine.versions
    versions = ", ".join(f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known)
    processes = "1 process" if found.processes == 1 else f"{found.processes} processes"
    lines = [] if found.complete else ["INTERRUPTED: not all was measured."]
    lines.append(
        f"One machine ({machine.device}, {count(machine.threads, 'thread')}, {found.datetime[:10]}), {processes}; "
        f"{versions}." + (f" Differences below {found.least:.1%} may have been missed." if found.least else "")
    )
    return lines + newer_versions(known)


def _times(found: Answer) -> list[str]:
    ways = [way for way in WAYS if any(way in row.cells for row in found.rows)]
    blocks = [ways] if len(found.ports) <= SIDE_BY_SIDE else [[way] for way in ways]
    return [line for block in blocks for line in _block(found, block)]


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
    tie = len(fastest) == len(cells) > 1
    times = [format_time(cells[port].time_s) if port in cells else "-" for port in ports]
    return times, "-" if len(cells) < 2 else "tie" if tie else ", ".join(map(name_of, fastest))


def _reasons(found: Answer) -> list[str]:
    """Which differences are real, and what causes them."""
    lines = []
    for port in found.ports:
        rows = [row.styles[port] for row in found.rows if port in row.styles]
        slower = [d for d in real(rows) if d.verdict == "slower"]
        if slower:
            lines.append(_style_reason(port, slower, len(rows)))
    lines += [sentence for two in _by_two(found.rows) for sentence in _layout_reason(*two)]
    if not lines and any(len(row.cells.get(FUNCTIONAL, {})) > 1 for row in found.rows):
        lines = ["No difference between frameworks, or between their call styles, is larger than chance explains."]
    head = [] if not lines else ["Differences beyond chance, time a call or time / time, and their causes:"]
    return [*head, *(f"- {line}" for line in lines[:MOST_REASONS])]


def _by_two(rows: list[Row]) -> list[tuple[list[Difference], int]]:
    """The differences of every two frameworks that are called alike, and in how many rows they meet."""
    found = [d for row in rows for d in row.pairs.get(FUNCTIONAL, ())]
    return [(real(of_two), len(of_two)) for of_two in grouped(found, lambda d: (d.one, d.other)).values()]


def _style_reason(port: str, slower: list[Difference], rows: int) -> str:
    ordered = sorted(slower, key=lambda d: d.difference_s)
    causes = {d.cause for d in slower}
    why = "the same program, so this is what crossing the jit boundary costs"
    if "unexplained" in causes:
        why = "more than crossing the jit boundary was seen to cost: unexplained"
    elif causes != {"boundary"}:
        alike = not any(d.counts for d in slower)
        program = "another program of the same operations" if alike else "another program"
        why = f"crossing the jit boundary, and {program}"
    return (
        f"{name_of(port)} as documented: {from_to(*map(_cost, (ordered[0], ordered[-1])))} a call over "
        f"`{_style(slower[0].other)}`, in {len(slower)} of {count(rows, 'row')}: {why}."
    )


def _cost(difference: Difference) -> str:
    """Seconds per call with their interval."""
    times = (difference.difference_s, difference.difference_low_s, difference.difference_high_s)
    scale, unit = (1e3, "ms") if times[0] >= 1e-3 else (1e6, "µs")
    time, low, high = (f"{scale * t:.3g}" for t in times)
    return f"+{time} {unit} [{low}, {high}]"


def _layout_reason(found: list[Difference], rows: int) -> Iterable[str]:
    for cause, differences in grouped(found, lambda d: d.cause).items():
        one, other = (name_of(name.partition("[")[0]) for name in (differences[0].one, differences[0].other))
        ratios = sorted(differences, key=lambda d: d.ratio)
        span = from_to(_ratio(ratios[0]), _ratio(ratios[-1]))
        counts = next((d.counts for d in differences if d.counts), ())
        why = {
            "layout": _counted(counts),
            "boundary": "the same program; not so as lists of arrays, so it is the jit boundary",
            "equations": "other equations",
            "unread": "no program to look at",
        }.get(cause, "unexplained: the same program")
        yield f"Alike, {one} / {other}: {span}, {len(ratios)} of {rows}: {why}."


def _ratio(difference: Difference) -> str:
    return f"{difference.ratio:.2f} [{difference.low:.2f}, {difference.high:.2f}]"


def _counted(counts: Sequence[tuple[str, int, int]]) -> str:
    words = {"dots": "products", "whiles": "loops"}
    if not counts:
        return "layout"
    name, mine, its = counts[0]
    return f"layout, {mine} {words.get(name, name)} to {its}"


def _advice(found: Answer) -> list[str]:
    """What to write for the fast number."""
    lines, cautions = [], []
    for port in found.ports:
        slower = any(d.verdict == "slower" for row in found.rows for d in [row.styles.get(port)] if d)
        styles = {} if unavailable_or_title(port) is None else {s.name: s for s in get_port(port).call_styles}
        name = next(
            (row.cells[FUNCTIONAL][port].style for row in found.rows if port in row.cells.get(FUNCTIONAL, {})), ""
        )
        if slower and name in styles:
            lines.append(f"  {name_of(port):8} {styles[name].summary}")
            cautions += [f"  {name_of(port)}: {styles[name].caution}."] * bool(styles[name].caution)
    if lines:
        lines = ["For the fast number, write (`trigru styles` prints each in full):", *lines, *cautions]
    if any(_units(row.workload) >= FUSED_FROM for row in found.rows if row.phase == "train_step"):
        lines.append(
            f"Training {FUSED_FROM} units or more, see also --kernel fused, which was faster in each (docs/kernel.md)."
        )
    return lines


def _units(workload: Sized) -> int:
    known = workload.name in {known.name for known in WORKLOADS}
    return get_workload(workload).hidden_size if known else 0


def _style(name: str) -> str:
    return name.partition("[")[2].rstrip("]")


def _proven(proof: Proof) -> str:
    return name_of(proof.port) + ("" if proof.kernel == STOCK else f" with {proof.kernel}")

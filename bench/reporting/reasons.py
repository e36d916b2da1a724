"""Which differences of a run are beyond chance, in sentences, and what is known of their causes."""

from collections.abc import Sequence

from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ..analysis.answer import Answer, Row
from ..analysis.pairs import Difference
from ..analysis.statistics import Comparison
from ..results.grouping import grouped
from .naming import PHASES, name_of
from .numbers import count, format_interval, format_time_range, from_to

#: How many pairs of frameworks are told of at most.
MOST_PAIRS = 3


def reason_lines(found: Answer) -> list[str]:
    """Which differences are real, and what is known of their causes."""
    of_port = {port: [row.styles[port] for row in found.rows if port in row.styles] for port in found.ports}
    way = FUNCTIONAL if any(row.pairs.get(FUNCTIONAL) for row in found.rows) else DOCUMENTED
    met = [(row, d) for row in found.rows for d in row.pairs.get(way, ())]
    styles = _style_reasons(
        [(port, slower, len(all_of)) for port, all_of in of_port.items() if (slower := slower_of(all_of))]
    )
    ratios, alike = [], []
    for of_two in grouped(met, lambda two: (two[1].one, two[1].other)).values():
        if any(d.is_real for _, d in of_two):
            ratios.append(_pair_reason(found, of_two))
        elif all(row.fastest.get(way) for row, _ in of_two):
            one, other = (name_of(name.partition("[")[0]) for name in (of_two[0][1].one, of_two[0][1].other))
            alike.append(f"{one} / {other}: no difference beyond chance in any row.")
    between = [line for _, line in sorted(ratios, key=lambda told: -told[0])] + alike * bool(ratios)
    if not styles and not between:
        every = [d for row in found.rows for some in (*row.pairs.values(), row.styles.values()) for d in some]
        told = all(row.fastest.get(way) for row in found.rows for way in row.pairs if row.pairs[way])
        if every and told and not any(d.is_real for d in every):
            return ["No difference between frameworks, or between their call styles, is beyond chance."]
        return []
    heading = "Called alike" if way == FUNCTIONAL else "As documented"
    rows = count(len(found.rows), "row")
    parts = {
        f"As documented over called alike, where beyond chance (95 %); in how many of {rows}:": styles,
        f"{heading}: the largest ratio, how programs differ there; slower or faster in how many of {rows}:": (
            first_lines(between, MOST_PAIRS)
        ),
    }
    return [line for head, lines in parts.items() if lines for line in (head, *(f"- {line}" for line in lines))]


def slower_of(differences: list[Difference]) -> list[Difference]:
    """Those in which the first takes longer, beyond chance."""
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
    one, other = style_in(slower[0].one), style_in(slower[0].other)
    return f"{name_of(port)}, `{one}` over `{other}`: {cost}, {len(slower)} of {rows}", why


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
    largest = ratios[id(most)]
    rows = f"{len(first)} slower, {len(real) - len(first)} faster"
    return largest.ratio, f"{one} / {other}: {format_interval(largest)} ({where}; {why}); {rows}."


def _counted(counts: Sequence[tuple[str, int, int]]) -> str:
    """What programs differ in; that need not be what takes the time."""
    words = {"dots": "products", "whiles": "loops"}
    if not counts:
        return "as many operations"
    name, mine, its = counts[0]
    return f"{mine} {words.get(name, name)} to {its}"


def first_lines(lines: list[str], most: int) -> list[str]:
    """So many of some lines, and how many more there are."""
    more = len(lines) - most
    return lines[:most] + ([f"... and {more} more (--details)."] if more > 0 else [])


def style_in(name: str) -> str:
    """The call style in an arm's name.

    >>> style_in("nnx[split-merge]")
    'split-merge'
    """
    return name.partition("[")[2].rstrip("]")

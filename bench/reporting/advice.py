"""What to write instead of a framework's documented call, where that saves time."""

from dataclasses import dataclass

from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port
from ..analysis.answer import Answer, AnswerRow
from ..analysis.benchmarks import Benchmark
from ..results.grouping import grouped
from .fastest import NEAR
from .naming import PHASES, is_here, name_of
from .numbers import format_time
from .shown import shown_rows, sizes_of

#: The least ratio of the documented call to another for which the other is advised.
WORTH = 1.1


@dataclass(frozen=True)
class Advice:
    """Calls that take less time than the documented ones."""

    heading: str
    lines: list[tuple[str, str]]  # frameworks with their times, and code


def advice_of(answer: Answer) -> Advice | None:
    """What to write, of the row where that saves the largest share; None if nothing.

    Only calls count that take less time than the framework's documented and its
    functional one. If some take less than all frameworks' in the row, only they do.
    """
    rows = [row for row in shown_rows(answer) if _savings(row)]
    if not rows:
        return None
    row = max(rows, key=lambda row: max(_savings(row).values()))
    advised = _advised(row)
    if not advised:
        return None

    shortest_s = _shortest_shown(row)
    faster = [b for b in advised if b.median_s < shortest_s]
    than = "those above" if faster else "their own above"
    same_phase = [other for other in answer.rows if other.phase == row.phase]
    sizes = sizes_of([row], same_phase)
    phase = PHASES[row.phase]
    if row.phase != "step":
        phase = f"a {phase}"
    heading = (
        f"Other styles, faster than {than}, {phase} at {sizes} (docs/call-styles.md):"
    )

    lines = []
    for code, alike in grouped(faster or advised, _code_of).items():
        times = [f"{name_of(b.arm.port)} {format_time(b.median_s)}" for b in alike]
        lines.append((", ".join(times), code))
    return Advice(heading, lines)


def _savings(row: AnswerRow) -> dict[str, float]:
    """By framework, the time of its documented call over that of the advised one."""
    savings = {}
    for port, d in row.advised.items():
        ratio = d.comparison.ratio
        if is_here(port) and d.verdict == "slower" and ratio >= WORTH:
            savings[port] = ratio
    return savings


def _advised(row: AnswerRow) -> list[Benchmark]:
    """The calls that keep state and are faster than the documented and functional
    ones.
    """
    savings = _savings(row)
    functional = row.cells.get(FUNCTIONAL, {})
    advised = []
    for port in row.cells[DOCUMENTED]:
        keeping = row.keeping.get(port)
        if port not in savings or keeping is None:
            continue
        if port in functional and functional[port].median_s < NEAR * keeping.median_s:
            continue
        advised.append(keeping)
    return advised


def _shortest_shown(row: AnswerRow) -> float:
    """The shortest time in the table of a row, in seconds; 0 if nothing is compared."""
    times_s = []
    for cells in row.cells.values():
        times_s += [b.median_s for b in cells.values() if not row.apart(b)]
    return min(times_s, default=0.0)


def _code_of(b: Benchmark) -> str:
    """What to write for the call style of an arm."""
    styles = get_port(b.arm.port).call_styles
    (code,) = [style.summary for style in styles if style.name == b.arm.style]
    if code.startswith("call = "):
        return code
    # what is made once stands apart from the call
    made, _, arguments = code.removesuffix(")").rpartition("(")
    return f"call = {made}; call({arguments})"

"""The tables of a page that are sorted and filtered: of all arms, their programs, and of frameworks in pairs.

A table has the rows of all runs, with a column that says which run; what it compares is within one run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ....common.port.programs import Build, ProgramFacts
from ...analysis.answer import WAYS, Answer, Cell, Difference, Row
from ...analysis.pairs import OtherClock, other_clock
from ...analysis.rates import rates_of
from ...analysis.statistics import Comparison
from ...results.arm import Arm, Untimed
from ...results.record import Benchmark, Results
from ..answer import untold
from ..frameworks import explain
from ..naming import HEADINGS, PHASES, name_of
from ..numbers import format_bytes, format_interval, format_rate, format_ratio, format_throughput, format_time
from .samples import Samples

#: "filter": words of which the reader chooses some. "words": not chosen from. "number": aligned to the right.
Kind = Literal["filter", "words", "number"]
ROLES = {"baseline": "1 (baseline)", "duplicate": "A/A"}


@dataclass(frozen=True)
class Entry:
    """What stands in a cell.

    Args:
        text: what is read.
        order: by which it is sorted; None for its text. Cells without a number come first.
        arms: places among the samples of the arms that the number is of, which it opens to.
        why: for a cell without a number, the reason.
    """

    text: str
    order: int | float | None = None
    arms: tuple[int, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Sortable:
    """A table that the reader sorts and filters."""

    title: str
    columns: tuple[tuple[str, Kind], ...]
    rows: list[list[Entry]]
    notes: tuple[str, ...] = ()


OF_ARM: tuple[tuple[str, Kind], ...] = (
    ("workload", "filter"), ("phase", "filter"), ("framework", "filter"), ("style", "filter"), ("kernel", "filter"),
    ("dtype", "filter"), ("compared in", "filter"),
)  # fmt: skip
RUN: tuple[tuple[str, Kind], ...] = (("run", "filter"),)
#: What most runs have one of: said once above a table, where it is the same in every row.
ONCE = ("kernel", "dtype", "compared in")


def answer_table(found: Answer, way: str, run: Results, samples: Samples) -> Sortable:
    """What each framework takes in one way, and which is the fastest: a row for each phase of each workload."""
    ports: list[tuple[str, Kind]] = [(name_of(port), "number") for port in found.ports]
    columns: list[tuple[str, Kind]] = [("time of a call", "words"), ("fastest", "words"), *ports]
    rows = [_answer_row(found, row, way, run, samples) for row in found.rows if way in row.cells]
    return Sortable(HEADINGS[way], tuple(columns), rows)


def times_table(runs: Sequence[Results], names: Sequence[str], samples: Samples) -> Sortable:
    """Every arm of every run on one device, with and without a number."""
    columns: tuple[tuple[str, Kind], ...] = (
        ("time of a call", "number"), ("time / plain JAX", "number"), ("verdict", "filter"), ("other clock", "number"),
        ("its / plain JAX", "number"), ("steps/s", "number"), ("GFLOP/s, %", "number"),
    )  # fmt: skip
    rows = [[*first, *_times(run, item, samples)] for run, item, first in _items(runs, names) if not item.arm.way]
    return _once(
        "Every time",
        (*_run_column(runs), *OF_ARM, *columns),
        rows,
        (
            "Medians of seconds per call. On a CPU each call is waited for, and by the other clock none is before the "
            "next is started; on an accelerator it is the other way round. Ratios are paired within rounds, with 95 % "
            "intervals; in brackets where they are indistinguishable from 1. Per cent: of the machine's nearer limit. "
            "A/A is plain JAX compiled again (#2), whose difference from it is noise.",
        ),
    )


def programs_table(runs: Sequence[Results], names: Sequence[str]) -> Sortable:
    """How long every arm takes to build, and what XLA made of it."""
    columns: tuple[tuple[str, Kind], ...] = (
        ("trace", "number"), ("lower", "number"), ("compile", "number"), ("first call", "number"),
        ("leaves", "number"), ("dots", "number"), ("loops", "number"), ("fusions", "number"),
        ("transposes", "number"), ("temporary memory", "number"), ("program", "words"),
    )  # fmt: skip
    rows = [
        [*first, *_program(item)]
        for _, item, first in _items(runs, names)
        if isinstance(item, Benchmark) and item.arm.role != "duplicate"
    ]
    return _once(
        "Compile times and programs",
        (*_run_column(runs), *OF_ARM, *columns),
        rows,
        (
            "Times are of the first process, measured once. Counts are of the optimised program, with a loop's body "
            "counted once. Equal names in the last column are the same program.",
        ),
    )


def pairs_table(runs: Sequence[Results], names: Sequence[str], answers: Sequence[Answer], samples: Samples) -> Sortable:
    """Each two frameworks, in the same way, and what causes the difference."""
    columns: tuple[tuple[str, Kind], ...] = (
        ("workload", "filter"), ("phase", "filter"), ("called", "filter"), ("one", "filter"), ("other", "filter"),
        ("one / other", "number"), ("verdict", "filter"), ("why, and the difference in time", "words"),
    )  # fmt: skip
    rows = [
        [*([Entry(name)] * (len(runs) > 1)), *_pair(run, row, way, difference, samples)]
        for run, name, found in zip(runs, names, answers, strict=True)
        for row in found.rows
        for way in WAYS
        for difference in row.pairs.get(way, ())
    ]
    notes = ("Paired within rounds, with 95 % intervals. A verdict needs a difference beyond chance and noise floor.",)
    return Sortable("Frameworks against each other", (*_run_column(runs), *columns), rows, notes)


def _once(
    title: str, columns: tuple[tuple[str, Kind], ...], rows: list[list[Entry]], notes: tuple[str, ...]
) -> Sortable:
    """A table in which a column of ONCE stands only if its rows differ there."""
    texts = {name: {row[at].text for row in rows} for at, (name, _) in enumerate(columns) if name in ONCE}
    same = {name: one for name, (one, *more) in ((n, sorted(some)) for n, some in texts.items() if some) if not more}
    kept = [at for at, (name, _) in enumerate(columns) if name not in same]
    said = (f"In every row: {', '.join(f'{name} {text}' for name, text in same.items())}.",) if same else ()
    return Sortable(
        title, tuple(columns[at] for at in kept), [[row[at] for at in kept] for row in rows], (*notes, *said)
    )


def _run_column(runs: Sequence[Results]) -> tuple[tuple[str, Kind], ...]:
    return RUN if len(runs) > 1 else ()


def _items(runs: Sequence[Results], names: Sequence[str]) -> Iterator[tuple[Results, Benchmark | Untimed, list[Entry]]]:
    """Every arm with the cells that say which it is."""
    for run, name in zip(runs, names, strict=True):
        for item in (*run.benchmarks, *run.untimed):
            yield run, item, [*([Entry(name)] * (len(runs) > 1)), *_of_arm(item.arm)]


def _of_arm(arm: Arm) -> list[Entry]:
    copy = f" #{arm.copy}" if arm.copy > 1 else f" on {arm.devices}, {arm.way}" if arm.way else ""
    style = Entry(arm.style) if arm.style else Entry("none", why="the port is not available")
    words = (arm.arithmetic, arm.division)
    named = Entry(f"{name_of(arm.port)}{copy}"), style, Entry(str(arm.kernel))
    return [Entry(str(arm.workload)), Entry(PHASES.get(arm.phase, arm.phase)), *named, *map(Entry, words)]


def _times(run: Results, item: Benchmark | Untimed, samples: Samples) -> list[Entry]:
    if isinstance(item, Untimed):
        why = f"no number: {item.reason}"
        return [Entry("", why=why), *([Entry("-", why=why)] * 6)]
    rates, facts, place = rates_of(run, item), item.facts, samples.place(run, item)
    ratio = Comparison(facts.ratio, facts.ratio_low, facts.ratio_high)
    why = "nothing is dispatched ahead, or a single call fills a sample"
    baseline, other = samples.place_of_baseline(run, item), other_clock(run, item)
    return [
        Entry(format_time(rates.time_s), rates.time_s, (place,)),
        Entry("1", 1.0) if item.arm.is_baseline else Entry(format_interval(ratio), ratio.ratio, (place, baseline)),
        Entry(ROLES.get(item.arm.role, facts.differs or facts.verdict)),
        Entry("-", why=why) if rates.other_s is None else Entry(format_time(rates.other_s), rates.other_s),
        Entry("-", why=why) if other is None else _other(item, other),
        Entry(format_rate(rates.steps_per_s), rates.steps_per_s),
        Entry(format_throughput(rates.flop_per_s, rates.share), rates.flop_per_s),
    ]


def _other(b: Benchmark, other: OtherClock) -> Entry:
    return Entry("1", 1.0) if b.arm.is_baseline else Entry(format_ratio(other.ratio, other.verdict), other.ratio.ratio)


def _program(b: Benchmark) -> list[Entry]:
    build: Build | None = b.facts.build
    program: ProgramFacts | None = b.facts.program
    unread = Entry("", why="XLA did not tell")
    times = (build.trace_s, build.lower_s, build.compile_s, build.first_call_s) if build else ()
    counts = (program.dots, program.whiles, program.fusions, program.transposes) if program else ()
    memory = program.temp_bytes if program else None
    return [
        *([Entry(format_time(time_s), time_s) for time_s in times] or [unread] * 4),
        Entry(str(b.facts.leaves), b.facts.leaves),
        *([Entry(str(number), number) for number in counts] or [unread] * 4),
        unread if memory is None else Entry(format_bytes(memory), memory),
        Entry(program.fingerprint[:5]) if program else unread,
    ]


def _answer_row(found: Answer, row: Row, way: str, run: Results, samples: Samples) -> list[Entry]:
    cells, fastest = row.cells[way], row.fastest.get(way, [])
    compared = [cell for cell in cells.values() if not cell.differs]
    none = len(fastest) == len(compared) > 1
    said = untold(row) if none else ", ".join(map(name_of, fastest))
    return [
        Entry(f"{row.workload}, {PHASES.get(row.phase, row.phase)}"),
        Entry(said, why="" if said else "too few rounds to tell, or nothing to compare"),
        *(
            _answer_entry(cells[port], samples.place_of(run, row, port, cells[port].style))
            if port in cells
            else Entry("", why="it has no number, or no such call style")
            for port in found.ports
        ),
    ]


def _answer_entry(cell: Cell, place: int) -> Entry:
    text = format_time(cell.time_s)
    return Entry(f"{text}*" if cell.differs else text, cell.time_s, (place,), cell.differs or "")


def _pair(run: Results, row: Row, way: str, found: Difference, samples: Samples) -> list[Entry]:
    ratio = Comparison(found.ratio, found.low, found.high)
    places = tuple(samples.place_by_name(run, row, name) for name in (found.one, found.other))
    return [
        Entry(str(row.workload)),
        Entry(PHASES.get(row.phase, row.phase)),
        Entry(HEADINGS[way]),
        Entry(found.one),
        Entry(found.other),
        Entry(format_interval(ratio), ratio.ratio, places),
        Entry(found.verdict),
        Entry(explain(found)),
    ]

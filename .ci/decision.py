"""The tables of docs/which-framework.md: what each framework takes in a situation, from docs/results."""

import json
from pathlib import Path

import msgspec
from trigru.bench.analysis.answer import WAYS, Answer, Cell, Row, answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import summarise_starts
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.naming import name_of
from trigru.bench.reporting.numbers import format_interval, format_time, format_time_range
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.timing.coldstart import ColdStart
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL
from trigru.impls import get_port

#: What people do, as a workload and a phase of the published run.
SITUATIONS = (
    ("One time step a call, as in online inference and reinforcement learning", "question", "step"),
    ("Streaming: a chunk of 50 steps a call", "question", "forward"),
    ("Training on one sequence at a time", "question", "train_step"),
    ("Training on small batches", "vowels", "train_step"),
    ("Training a model of common size", "medium", "train_step"),
    ("Training a large model", "large", "train_step"),
)
HEADINGS = {DOCUMENTED: "As its documentation calls it", FUNCTIONAL: "Called alike"}


def decision_tables(results: Path) -> str:
    """Times in both ways of calling, what else is asked of a framework, and what to write."""
    run = load(results / "cpu.json.gz")
    found = answer(run)
    rows = {(str(row.workload), row.phase): row for row in found.rows}
    asked = [(text, rows[workload, phase]) for text, workload, phase in SITUATIONS]
    parts = [part for way in WAYS for part in (f"**{HEADINGS[way]}**", _times(found, asked, way))]
    return "\n\n".join(
        [
            *parts,
            "Median time of a call, then time / plain JAX's with its 95 % interval; in round brackets if it is "
            "indistinguishable from 1. No other is faster: beyond chance, within the rounds of the run.",
            "**What else is asked**",
            _else(found, results),
            "### What to write",
            _writing(found, asked),
            "The call style, and what each call saves beside the documented one, with its 95 % interval. "
            '"As documented": the functional style was not shown to be faster.',
            *provenance_lines(run)[:2],
        ]
    )


def _times(found: Answer, asked: list[tuple[str, Row]], way: str) -> str:
    rows = []
    for text, row in asked:
        cells = [_cell(row.cells[way][port]) for port in found.ports]
        fastest = row.fastest[way]
        none = len(fastest) == len(found.ports)
        winner = "not told apart" if none else ", ".join(map(name_of, fastest))
        rows.append((f"{text} (`{row.workload}`)", *cells, winner))
    return table_of(("situation", *map(name_of, found.ports), "fastest, ties listed"), rows)


def _cell(cell: Cell) -> str:
    ratio = format_interval(Comparison(cell.ratio, cell.low, cell.high), 2)
    shown = f"({ratio})" if cell.verdict == "indistinguishable" else ratio
    return f"{in_one_piece(format_time(cell.time_s))}, {in_one_piece(shown)}"


def in_one_piece(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _else(found: Answer, results: Path) -> str:
    content = json.loads((results / "cold_start.json").read_text(encoding="utf-8"))
    starts = {port.port: port for port in summarise_starts(msgspec.convert(content["starts"], list[ColdStart]))}
    compiling = {port: f"{s.total_s:.3g} s [{s.least_s:.3g}, {s.most_s:.3g}]" for port, s in starts.items()}
    if "conversion" not in found.checks or not all(proof.is_equal for proof in found.proofs or ()):
        raise SystemExit("docs/results/cpu.json.gz does not prove that every port converts parameters bit for bit.")
    rows = [
        (
            "Long compilation: from Python to the first train step, median and range of the starts of `question`",
            *(compiling[port] for port in found.ports),
            "[keep compiled programs](#keep-compiled-programs)",
        ),
        (
            "Checkpoints: parameters that go to another framework and back",
            *("bit for bit" for _ in found.ports),
            "[`trigru convert`](convert.md)",
        ),
        (
            "Many devices: training with the batch spread over them",
            *("one exchange a train step" for _ in found.ports),
            "[`shard_map`, or the fused kernel](recipes/devices.md)",
        ),
    ]
    return table_of(("situation", *map(name_of, found.ports), "what to write"), rows)


def _writing(found: Answer, asked: list[tuple[str, Row]]) -> str:
    rows = []
    for text, row in asked:
        cells = []
        for port in found.ports:
            difference = row.styles.get(port)
            if difference is None or difference.verdict != "slower":
                cells.append(f"`{row.cells[DOCUMENTED][port].style}`, as documented")
                continue
            times_s = difference.difference_s, difference.difference_low_s, difference.difference_high_s
            style = row.cells[FUNCTIONAL][port].style
            cells.append(f"`{style}`, which saves {in_one_piece(format_time_range(*times_s))}")
        rows.append((text, *cells))
    code = ["", "", "Make `call` once, and use it again:", ""]
    for port in found.ports:
        style = next(s for s in get_port(port).call_styles if FUNCTIONAL in s.labels)
        caution = f". {style.caution[0].upper()}{style.caution[1:]}" if style.caution else ""
        code.append(f"- {name_of(port)}, `{style.name}`: `{style.summary}`{caution}.")
    return table_of(("situation", *map(name_of, found.ports)), rows) + "\n".join(code)


def table_of(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))

"""The generated parts of the docs that tell what published runs found."""

import json
from pathlib import Path

import msgspec
from pictures import themed_picture
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.bench.reporting.answer import answer_lines
from trigru.bench.reporting.equality import equality_tables
from trigru.bench.reporting.exports import framework_tables
from trigru.bench.reporting.overhead import overhead_tables
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown, markdown_table
from trigru.bench.reporting.speedups import speedup_tables
from trigru.bench.reporting.starts import cold_start_tables
from trigru.bench.timing.coldstart import ColdStart

DOCS = Path(__file__).parents[1] / "docs"


def results() -> str:
    """The page of published results: the screen, the picture, and what is said of frameworks."""
    found, sweep = (load(DOCS / "results" / f"{name}.json.gz") for name in ("cpu", "sweep"))
    (by_size,) = overhead_tables(sweep)
    tables = [*framework_tables(found), *equality_tables(found.trigru.equality or [])]
    return "\n".join(
        [
            markdown("Results from one machine", provenance_lines(found), []),
            "`trigru report docs/results/cpu.json.gz --details` prints the times and the program of each arm.",
            "",
            "## On one screen",
            "",
            screen(),
            "",
            themed_picture("answer-all", "Each framework as documented and called alike, in every row"),
            "",
            "## Against model size",
            "",
            "Another run, on a slower machine of the same name (see the limits below): not to be compared.",
            "",
            themed_picture("sweep", "Throughput and cost over plain JAX against hidden size"),
            "",
            markdown_table(by_size),
            "",
            *(f"- {note}" for note in by_size.notes),
            "",
            "\n\n".join(provenance_lines(sweep)),
            "",
            markdown("", [], tables).removeprefix("# \n\n"),
        ]
    )


def cold_start() -> str:
    """How long each port's users wait for the first train step."""
    content = json.loads((DOCS / "results" / "cold_start.json").read_text(encoding="utf-8"))
    loads = content["load_before"], content["load_after"]
    (table,) = cold_start_tables(msgspec.convert(content["starts"], list[ColdStart]), content["datetime"], loads)
    versions = ", ".join(f"{name} {version}" for name, version in content["machine"]["versions"].items())
    return "\n\n".join([markdown_table(table), *table.notes, f"{content['machine']['device']}; {versions}."])


def _kernel(name: str) -> str:
    """The fused kernel against the frameworks' own cells and peers, in one of the published runs."""
    found = load(DOCS / "results" / f"{name}.json.gz")
    parts = []
    for section in speedup_tables(found):
        parts += [f"**{section.title}**", markdown_table(section), *section.notes]
    return "\n\n".join([*parts, *provenance_lines(found)])


def screen() -> str:
    """The screen of the published run."""
    lines = answer_lines(answer(load(DOCS / "results" / "cpu.json.gz")))
    return "\n".join(["```text", *lines, "```"])


PARTS = {
    "cold-start": cold_start,
    "kernel": lambda: _kernel("kernel"),
    "inference": lambda: _kernel("inference"),
    "screen": screen,
}

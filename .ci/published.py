"""The generated parts of the docs that tell what published runs found."""

from pathlib import Path

from decision import Measured, ratio_text, table_of  # beside this script
from pictures import themed_picture
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.speedups import Speedup, mean_speedup, speedups
from trigru.bench.analysis.starts import load_starts
from trigru.bench.reporting.answer import answer_lines
from trigru.bench.reporting.naming import name_of
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown, markdown_table
from trigru.bench.reporting.times import cold_start_tables, overhead_tables
from trigru.bench.results.grouping import grouped

DOCS = Path(__file__).parents[1] / "docs"


def results() -> str:
    """The page of published results: the screen, and pictures."""
    found, sweep = (load(DOCS / "results" / f"{name}.json.gz") for name in ("cpu", "sweep"))
    (by_size,) = overhead_tables(sweep)
    return "\n".join(
        [
            markdown("Results from one machine", provenance_lines(found), []),
            "`trigru report docs/results/cpu.json.gz --details` prints the time, program and proof of each arm, "
            "and `--format html` a page of them.",
            "",
            screen(),
            "",
            themed_picture("answer-all", "Each framework as documented and in functional style, in every row"),
            "",
            "## Against model size",
            "",
            "Another run, on a slower machine of the same name (see the limits below): not to be compared.",
            "",
            markdown_table(by_size),
            "",
            *(f"- {note}" for note in by_size.notes),
            "",
            "\n\n".join(provenance_lines(sweep)),
            "",
        ]
    )


def cold_start() -> str:
    """How long each port's users wait for the first train step."""
    found = load_starts(DOCS / "results" / "cold_start.json")
    (table,) = cold_start_tables(found)
    versions = ", ".join(f"{name} {version}" for name, version in found.machine.versions.items())
    return "\n\n".join([markdown_table(table), *table.notes, f"{found.machine.device}; {versions}."])


def _kernel(name: str) -> str:
    """The fused kernel against each port's own cell, a row for each size, and plain JAX's against peers in the mean."""
    measured = Measured(load(DOCS / "results" / f"{name}.json.gz"))
    own, peers = speedups(measured.run), speedups(measured.run, "peers")
    columns = "own cell / fused", *map(_column, _ports(own))
    rows = [
        (measured.size(workload, of[0].benchmark.arm.phase), *map(_speedup, of))
        for workload, of in grouped(own, lambda s: str(s.benchmark.arm.workload)).items()
    ]
    rows.append(("geometric mean", *(_speedup(mean_speedup(of)) for of in grouped(own, _port).values())))
    against = [
        (peer, _speedup(mean_speedup([s for s in some if _port(s) == "pure"])))
        for peer, some in grouped(peers, lambda s: s.other.name).items()
    ]
    means = table_of(("peer / fused in plain JAX, geometric mean", "ratio"), against)
    machine = measured.run.trigru.machine
    origin = f"{measured.run.datetime[:10]}, {machine.device} ({machine.threads} threads), {measured.versions}."
    return "\n\n".join([table_of(columns, rows), means, origin])


def _port(speedup: Speedup) -> str:
    return speedup.benchmark.arm.port


def _ports(found: list[Speedup]) -> list[str]:
    return list(grouped(found, _port))


def _column(port: str) -> str:
    return "plain JAX: a scan by hand" if port == "pure" else name_of(port)


def _speedup(found: Speedup) -> str:
    return ratio_text(found.ratio, found.verdict)


def screen() -> str:
    """The screen of the published run."""
    lines = answer_lines(answer(load(DOCS / "results" / "cpu.json.gz")))
    return "\n".join(["```text", *lines, "```"])


PARTS = {"cold-start": cold_start, "kernel": lambda: _kernel("kernel"), "inference": lambda: _kernel("inference")}

"""Write the generated parts of the docs; with --check, fail where one is stale instead.

What is listed here is what the code has: checks, factors, faults, workloads, call styles, commands.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import published  # which stands beside this script
import typer.main
from published import table
from trigru.bench.arms.workloads import QUICK, WORKLOADS
from trigru.bench.cli import app
from trigru.bench.upgrades.record import KINDS
from trigru.common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from trigru.common.equality.contract.designs import coverage_of, design_of
from trigru.common.equality.contract.factors import (
    COARSE_RULES,
    DTYPES,
    FACTORS,
    RULES,
    SHORT,
)
from trigru.common.port.protocol import LABELS
from trigru.common.port.styles import labels_of
from trigru.common.port.task import PHASES
from trigru.impls import get_port
from trigru.impls.checkpoints import CONTAINERS, layouts
from trigru.impls.faults import FAULTS
from trigru.impls.upstream import DEPARTURES
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "example_port"
PORTS = [get_port(name) for name in ("pure", "linen", "nnx", "equinox")]


def labels_cell(port: Any, style: Any) -> str:
    """The labels of a call style, each with the phases in which the style has it unless that is in all."""
    labels = []
    for label in LABELS:
        phases = []
        for phase in style.phases:
            if label in labels_of(port, phase)[style.name]:
                phases.append(phase)
        if len(phases) == len(PHASES):
            labels.append(label)
        elif phases:
            labels.append(f"{label} ({', '.join(phases)})")
    return ", ".join(labels) or "none: its own"


def style_rows() -> list[Sequence[str]]:
    """A row for each call style of each port."""
    rows = []
    for port in PORTS:
        for style in port.call_styles:
            summary = f"`{style.summary}`"
            if style.source:
                summary += f" ([source]({style.source}))"
            labels = labels_cell(port, style)
            rows.append((port.title, f"`{style.name}`", labels, summary))
    return rows


#: The tables of rows of the code: of each the columns and the rows.
TABLES: dict[str, tuple[Sequence[str], Iterable[Sequence[str]]]] = {
    "changes": (("kind", "it"), ((f"`{kind}`", what) for kind, what in KINDS.items())),
    "checks": (
        ("check", "what it catches", "runs"),
        (
            (check.name, check.catches, runs.format(check.name))
            for of, runs in (
                (CHECKS, "by default"),
                (SELECTIONS, "`--check {}`"),
                (ON_DEVICES, "`--devices`"),
            )
            for check in of
        ),
    ),
    "factors": (
        ("factor", "levels, the usual one first"),
        [
            *((factor.name, ", ".join(factor.levels)) for factor in FACTORS),
            ("dtype", ", ".join(DTYPES)),
        ],
    ),
    "faults": (
        ("fault", "what is wrong", "the check that is there for it"),
        ((fault.name, fault.what, fault.check) for fault in FAULTS),
    ),
    "departures": (
        ("part", "departure", "shows in"),
        (
            (
                f"`{d.part}`",
                f"[{d.what}]({d.source})" if d.source else d.what,
                ", ".join(d.checks),
            )
            for d in DEPARTURES
        ),
    ),
    "workloads": (
        (
            "workload",
            "B",
            "T",
            "D",
            "H",
            "parameters",
            "`--quick`",
            "what it stands for",
        ),
        (
            (
                f"`{w.name}`",
                *map(str, (w.batch_size, w.time, w.input_size, w.hidden_size)),
                f"{w.parameters:,}",
                "yes" if w.name in QUICK else "",
                w.summary,
            )
            for w in WORKLOADS
        ),
    ),
    "styles": (
        ("port", "call style", "label", "what its user writes"),
        style_rows(),
    ),
}


def coverage() -> str:
    """How many rows a port is checked by, and what they cover."""
    rows = design_of(get_port("linen"))
    checked, of = coverage_of(rows)
    return f"```text\nlinen: {len(rows)} rows cover {checked} of {of} pairs and triples of levels.\n```"


def rules() -> str:
    """What cannot go together, and what is left out in other dtypes than float64."""

    def listed(levels: Any) -> str:
        return " and ".join(
            f"{name} {' or '.join(some)}" for name, some in levels.items()
        )

    elsewhere, lines = "in other dtypes than float64, ", []
    for where, some in (("", RULES), (elsewhere, COARSE_RULES)):
        only = (
            f"{listed(rule.when) or 'every row'}: only {listed(rule.then)}, since {rule.why}."
            for rule in some
        )
        lines += [f"- {where}{text}" for text in only]
    return "\n".join(
        [
            *lines,
            f"- {elsewhere}pairs have only {listed(SHORT)}; float16 has no pairs, but named rows.",
        ]
    )


def tabs(blocks: Iterable[tuple[str, str]]) -> str:
    """A tab for each framework, by its title."""
    return "\n\n".join(
        f'=== "{title}"\n\n{textwrap.indent(block, "    ")}' for title, block in blocks
    )


def containers() -> str:
    """The file formats with the layouts that they are written in, and the arrays of each layout."""
    known = layouts()
    rows = [
        (
            c.title,
            ", ".join(f"`{suffix}`" for suffix in c.suffixes),
            *(
                "yes" if c.layouts is None or name in c.layouts else "–"
                for name in known
            ),
            f"`{c.reader}`",
        )
        for c in CONTAINERS
    ]
    arrays = [
        (f"`{n}`: {of.title}", ", ".join(f"`{a}`" for a in of.table()))
        for n, of in known.items()
    ]
    return f"{table(('container', 'suffix', *known, 'read by'), rows)}\n\n{table(('layout', 'arrays'), arrays)}"


def commands() -> str:
    """A section for each command: its help, arguments and options, as Typer documents them."""
    group: Any = typer.main.get_command(app)
    return "\n\n".join(
        get_docs_for_click(
            obj=command,
            ctx=typer.Context(command),
            indent=1,
            call_prefix="trigru",
            title=f"trigru {name}",
        ).strip()
        for name, command in group.commands.items()
    )


def example(language: str, name: str) -> str:
    """A file of the port that stands in a package of its own."""
    return f"```{language}\n{(EXAMPLE / name).read_text(encoding='utf-8')}```"


def answers() -> str:
    """The answers of the README, in a tab for each framework."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"^\*\*([\w ]+)\*\*\n\n(```python\n.*?^```)$", text, re.MULTILINE | re.DOTALL
    )
    assert [title for title, _ in blocks] == [port.title for port in PORTS[1:]], (
        "README.md lacks an answer"
    )
    return tabs(blocks)


MARKED = re.compile(r"(<!-- generated: (\S+)(.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(part: re.Match[str]) -> str:
    """A part as the code has it now: a table, or what the function gives that the marker names with its arguments."""
    begin, name, words, end = part.groups()
    functions = vars(published) | globals()
    text = table(*TABLES[name]) if name in TABLES else functions[name](*words.split())
    return f"{begin}\n{text}\n\n{end}"


def main() -> int:
    """Write, or check; 1 if something is stale."""
    check, stale = "--check" in sys.argv, []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = MARKED.sub(written, old)
        if new != old:
            stale.append(page)
            if not check:
                page.write_text(new, encoding="utf-8")
    stale += published.draw_pictures(check=check)
    for path in stale if check else ():
        print(
            f"{path.relative_to(ROOT)} is stale: run .venv/bin/python .ci/generate_docs.py",
            file=sys.stderr,
        )
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

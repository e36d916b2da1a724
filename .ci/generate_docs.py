"""Write the generated parts of the docs; with --check, fail where one is stale instead.

What is listed here is what the code has: checks, factors, faults, workloads, call
styles, commands.
"""

import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import griffe
import published  # which stands beside this script
import typer.main
from packaging.requirements import Requirement
from published import table
from tabs import field_comments
from trigru.bench.analysis.timings import Timing
from trigru.bench.arms.workloads import QUICK, WORKLOADS
from trigru.bench.cli import app
from trigru.bench.upgrades.parts import part_names
from trigru.bench.upgrades.record import KINDS
from trigru.common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from trigru.common.equality.contract.cases import DTYPES
from trigru.common.equality.contract.design import coverage_of, design_of
from trigru.common.equality.contract.space import (
    COARSE_RULES,
    FACTORS,
    RULES,
    SHORT,
    in_words,
)
from trigru.common.port.names import LABELS, PHASES
from trigru.common.port.styles import labels_of
from trigru.impls import get_port
from trigru.impls.checkpoints import CONTAINERS, layouts
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
EXAMPLE = TESTS / "example_port"
PORTS = [get_port(name) for name in ("pure", "linen", "nnx", "equinox")]
MARKED = re.compile(r"(<!-- generated: (\S+)(.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
#: An answer of the README: the title of a framework, and its code.
ANSWER = re.compile(
    r"^\*\*([\w ]+)\*\*\n\n(```python\n.*?^```)$", re.MULTILINE | re.DOTALL
)


def changes() -> str:
    """The kinds of changes that `trigru diff` tells apart."""
    rows = [(f"`{kind}`", meaning) for kind, meaning in KINDS.items()]
    return table(("kind", "what changed"), rows)


def parts() -> str:
    """The rows of the catalogue of the frameworks' parts, by framework."""
    sections = []
    for subject, names in part_names().items():
        items = "\n".join(f"- {name}" for name in names)
        sections.append(f"## {subject}\n\n{items}")
    return "\n\n".join(sections)


def checks() -> str:
    """The checks of equality, and how each is run."""
    rows = []
    for check in CHECKS:
        rows.append((check.name, check.catches, "by default"))
    for check in SELECTIONS:
        rows.append((check.name, check.catches, f"`--check {check.name}`"))
    for check in ON_DEVICES:
        rows.append((check.name, check.catches, "`--devices`"))
    return table(("check", "what it catches", "runs"), rows)


def factors() -> str:
    """The factors of the contract with their levels."""
    rows = [(factor.name, ", ".join(factor.words)) for factor in FACTORS]
    rows.append(("dtype", ", ".join(str(dtypes) for dtypes in DTYPES)))
    return table(("factor", "levels, the usual one first"), rows)


def faults() -> str:
    """The faults that tests plant, and the check that is there for each."""
    sys.path.append(str(TESTS))
    from support.faults import FAULTS

    rows = [(fault.name, fault.what, fault.check) for fault in FAULTS]
    columns = ("fault", "what is wrong", "the check that is there for it")
    return table(columns, rows)


def departures() -> str:
    """Where the frameworks' own parts depart from the contract."""
    sys.path.append(str(TESTS))
    from support.departures import DEPARTURES

    rows = []
    for departure in DEPARTURES:
        what = departure.what
        if departure.source:
            what = f"[{what}]({departure.source})"
        rows.append((f"`{departure.part}`", what, ", ".join(departure.checks)))
    return table(("part", "departure", "shows in"), rows)


def workloads() -> str:
    """The workloads, with their sizes."""
    rows = []
    for workload in WORKLOADS:
        row = (
            f"`{workload.name}`",
            str(workload.batch_size),
            str(workload.time),
            str(workload.input_size),
            str(workload.hidden_size),
            f"{workload.parameters:,}",
            "yes" if workload.name in QUICK else "",
            workload.summary,
        )
        rows.append(row)
    sizes = ("B", "T", "D", "H", "parameters")
    columns = ("workload", *sizes, "`--quick`", "what it stands for")
    return table(columns, rows)


def styles() -> str:
    """A row for each call style of each port."""
    rows = []
    for port in PORTS:
        for style in port.call_styles:
            code = "<br>".join(f"`{line}`" for line in style.code.splitlines())
            if style.source:
                code += f" ([source]({style.source}))"
            labels = _labels_cell(port, style)
            rows.append((port.title, f"`{style.name}`", labels, code))
    return table(("port", "call style", "label", "what its user writes"), rows)


def _labels_cell(port: Any, style: Any) -> str:
    """The labels of a call style.

    Each has the phases in which the style has it, unless that is in all.
    """
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


def coverage() -> str:
    """How many rows a port is checked by, and what they cover."""
    rows = design_of(get_port("linen"))
    covered, pairs_and_triples = coverage_of(rows)
    return (
        f"```text\nlinen: {len(rows)} rows cover {covered} of {pairs_and_triples} "
        "pairs and triples of levels.\n```"
    )


def rules() -> str:
    """What cannot go together, and what is left out in other dtypes than float64."""
    elsewhere = "in other dtypes than float64, "
    lines = [f"- {rule}" for rule in RULES]
    lines += [f"- {elsewhere}{rule}" for rule in COARSE_RULES]
    lines.append(
        f"- {elsewhere}pairs have only {in_words(SHORT)}; float16 has no pairs, but "
        "named rows."
    )
    return "\n".join(lines)


def columns() -> str:
    """The columns of a table of results, with what their comments say."""
    path = Path(inspect.getfile(Timing))
    code = path.read_text(encoding="utf-8")
    lines = griffe.LinesCollection()
    lines[path] = code.splitlines()
    module = griffe.visit(path.stem, path, code, lines_collection=lines)
    comments = field_comments(module["Timing"])
    rows = [(f"`{name}`", comment) for name, comment in comments.items()]
    return table(("column", "what it has"), rows)


def pins() -> str:
    """Which versions a Python gets in a clone."""
    return (
        f"Python 3.11 gets {_pinned('3.11.0')}; Python 3.12 and later get "
        f"{_pinned('3.12.0')}."
    )


def _pinned(python: str) -> str:
    """The jax and the flax that a Python gets."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    versions = {}
    for line in project["tool"]["uv"]["constraint-dependencies"]:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"python_full_version": python}):
            version = str(requirement.specifier).removeprefix("==")
            versions[requirement.name] = version
    return f"jax {versions['jax']} and flax {versions['flax']}"


def containers() -> str:
    """The file formats, and the layouts of arrays in them."""
    all_layouts = layouts()
    rows = []
    for container in CONTAINERS:
        suffixes = [f"`{suffix}`" for suffix in container.suffixes]
        cells = []
        for name in all_layouts:
            has_layout = container.layouts is None or name in container.layouts
            cells.append("yes" if has_layout else "–")
        reader = f"`{container.reader}`"
        rows.append((container.title, ", ".join(suffixes), *cells, reader))
    of_files = table(("container", "suffix", *all_layouts, "read by"), rows)

    rows = []
    for name, layout in all_layouts.items():
        arrays = [f"`{array}`" for array in layout.table()]
        rows.append((f"`{name}`: {layout.title}", ", ".join(arrays)))
    of_layouts = table(("layout", "arrays"), rows)
    return f"{of_files}\n\n{of_layouts}"


def commands() -> str:
    """A section for each command, as Typer documents it."""
    group: Any = typer.main.get_command(app)
    sections = []
    for name, command in group.commands.items():
        section = get_docs_for_click(
            obj=command,
            ctx=typer.Context(command),
            indent=1,
            call_prefix="trigru",
            title=f"trigru {name}",
        )
        sections.append(section.strip())
    return "\n\n".join(sections)


def example(language: str, name: str) -> str:
    """A file of the port that stands in a package of its own."""
    return f"```{language}\n{(EXAMPLE / name).read_text(encoding='utf-8')}```"


def answers() -> str:
    """The answers of the README, in a tab for each framework, by its title."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    titles = []
    tabs = []
    for title, block in ANSWER.findall(readme):
        titles.append(title)
        tabs.append(f'=== "{title}"\n\n{textwrap.indent(block, "    ")}')
    expected = [port.title for port in PORTS[1:]]
    assert titles == expected, "README.md lacks an answer"
    return "\n\n".join(tabs)


def written(part: re.Match[str]) -> str:
    """A part of a page as the code has it now: what its function gives."""
    begin, name, words, end = part.groups()
    text = PARTS[name](*words.split())
    return f"{begin}\n{text}\n\n{end}"


def main() -> int:
    """Write, or check; 1 if something is stale."""
    check = "--check" in sys.argv
    stale = []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = MARKED.sub(written, old)
        if new != old:
            stale.append(page)
            if not check:
                page.write_text(new, encoding="utf-8")
    stale += published.draw_pictures(check=check)
    if not check:
        return 0
    for path in stale:
        print(
            f"{path.relative_to(ROOT)} is stale: run "
            ".venv/bin/python .ci/generate_docs.py",
            file=sys.stderr,
        )
    return 1 if stale else 0


#: The functions by the names that markers in the pages have for them.
PARTS: dict[str, Callable[..., str]] = {
    "answer_rows": published.answer_rows,
    "answers": answers,
    "changes": changes,
    "checks": checks,
    "claimed": published.claimed,
    "claims": published.claims,
    "columns": columns,
    "commands": commands,
    "containers": containers,
    "coverage": coverage,
    "departures": departures,
    "example": example,
    "factors": factors,
    "fastest": published.fastest,
    "faults": faults,
    "kernel": published.kernel,
    "kernel_sizes": published.kernel_sizes,
    "parts": parts,
    "pins": pins,
    "releases": published.releases,
    "releases_picture": published.releases_picture,
    "rules": rules,
    "screen": published.screen,
    "sentences": published.sentences,
    "sizes": published.sizes,
    "styles": styles,
    "times": published.times,
    "upgrade": published.upgrade,
    "versions": published.versions,
    "workloads": workloads,
}

if __name__ == "__main__":
    sys.exit(main())

"""The parts of the docs that list what the code has: checks, factors, faults, workloads, call styles, commands."""

import textwrap
from collections.abc import Callable
from typing import Any

import typer.main
from published import table  # beside this script
from trigru.bench.arms.workloads import QUICK, WORKLOADS
from trigru.bench.cli import app
from trigru.bench.commands.styles import style_rows
from trigru.bench.upgrades.changes import KINDS
from trigru.common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from trigru.common.equality.contract.designs import coverage_of, design_of
from trigru.common.equality.contract.factors import COARSE_RULES, DTYPES, FACTORS, RULES
from trigru.common.port.styles import styles_called
from trigru.impls import get_port
from trigru.impls.checkpoints import layouts
from trigru.impls.checkpoints.containers import CONTAINERS
from trigru.impls.code import code_of
from trigru.impls.faults import FAULTS
from trigru.impls.upstream import DEPARTURES
from typer.cli import get_docs_for_click

PORTS = [get_port(name) for name in ("pure", "linen", "nnx", "equinox")]


def checks() -> str:
    """Each check, what it catches and when it runs."""
    when = dict.fromkeys(CHECKS, "by default")
    when |= {check: f"`--check {check.name}`" for check in SELECTIONS} | dict.fromkeys(ON_DEVICES, "`--devices`")
    return table(("check", "what it catches", "runs"), [(c.name, c.catches, runs) for c, runs in when.items()])


def factors() -> str:
    """What a call depends on."""
    rows = [(factor.name, ", ".join(factor.levels)) for factor in FACTORS]
    return table(("factor", "levels, the usual one first"), [*rows, ("dtype", ", ".join(DTYPES))])


def coverage() -> str:
    """How many rows a port is checked by, and what they cover."""
    rows = design_of(get_port("linen"))
    checked, of = coverage_of(rows)
    return f"```text\nlinen: {len(rows)} rows cover {checked} of {of} pairs and triples of levels.\n```"


def rules() -> str:
    """What cannot go together."""

    def listed(levels: Any) -> str:
        return " and ".join(f"{name} {' or '.join(some)}" for name, some in levels.items())

    placed = [("", rule) for rule in RULES] + [("in a coarse dtype, ", rule) for rule in COARSE_RULES]
    return "\n".join(
        f"- {where}{listed(rule.when) or 'every row'}: only {listed(rule.then)}, since {rule.why}."
        for where, rule in placed
    )


def faults() -> str:
    """The planted faults."""
    columns = "fault", "what is wrong", "the check that is there for it"
    return table(columns, [(fault.name, fault.what, fault.check) for fault in FAULTS])


def departures() -> str:
    """Where the frameworks' own parts depart from the contract."""
    rows = [(f"`{d.part}`", f"[{d.what}]({d.source})" if d.source else d.what, ", ".join(d.checks)) for d in DEPARTURES]
    return table(("part", "departure", "shows in"), rows)


def workloads() -> str:
    """The workloads with their sizes."""
    rows = [
        (
            f"`{w.name}`",
            *map(str, (w.batch_size, w.time, w.input_size, w.hidden_size)),
            f"{w.parameters():,}",
            w.summary,
        )
        for w in WORKLOADS
    ]
    columns = ("workload", "B", "T", "D", "H", "parameters", "what it stands for")
    return f"{table(columns, rows)}\n\n`--quick` takes {', '.join(f'`{name}`' for name in QUICK)}."


def styles() -> str:
    """The call styles of each port."""
    rows = [
        (
            port.title,
            f"`{style.name}`",
            labels,
            f"`{style.summary}`" + f" ([source]({style.source}))" * bool(style.source),
        )
        for port, style, labels in style_rows(PORTS)
    ]
    return table(("port", "call style", "label", "what its user writes"), rows)


def train_step(label: str) -> str:
    """The code of a train step in a call style, in a tab for each framework."""
    tabs = []
    for port in PORTS[1:]:
        (style,) = styles_called(port, (label,), "train_step")
        block = f"```python\n{code_of(port.name, {'train_step': style})}```"
        tabs.append(f'=== "{port.title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


def containers() -> str:
    """The file formats with the layouts that they are written in, and the arrays of each layout."""
    known = layouts()
    rows = [
        (
            c.title,
            ", ".join(f"`{suffix}`" for suffix in c.suffixes),
            *("yes" if c.layouts is None or name in c.layouts else "–" for name in known),
            f"`{c.reader}`",
        )
        for c in CONTAINERS
    ]
    arrays = [(f"`{n}`: {of.title}", ", ".join(f"`{a}`" for a in of.table())) for n, of in known.items()]
    return f"{table(('container', 'suffix', *known, 'read by'), rows)}\n\n{table(('layout', 'arrays'), arrays)}"


def commands() -> str:
    """A section for each command: its help, arguments and options, as Typer documents them."""
    group: Any = typer.main.get_command(app)
    return "\n\n".join(
        get_docs_for_click(
            obj=command, ctx=typer.Context(command), indent=1, call_prefix="trigru", title=f"trigru {name}"
        ).strip()
        for name, command in group.commands.items()
    )


PARTS: dict[str, Callable[[], str]] = {
    "changes": lambda: table(("kind", "it"), [(f"`{kind}`", what) for kind, what in KINDS.items()]),
    "checks": checks,
    "coverage": coverage,
    "factors": factors,
    "rules": rules,
    "faults": faults,
    "workloads": workloads,
    "styles": styles,
    "train-step-documented": lambda: train_step("documented"),
    "train-step-functional": lambda: train_step("functional"),
    "layouts": containers,
    "departures": departures,
    "commands": commands,
}

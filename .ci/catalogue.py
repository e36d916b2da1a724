"""The generated parts of the docs that tell what the code has: checks, factors, faults, workloads, call styles."""

import textwrap

from decision import table_of  # beside this script
from trigru.bench.arms.workloads import QUICK, WORKLOADS
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


def checks() -> str:
    """The table of checks."""

    def run(check):
        if check in SELECTIONS:
            return f"`--check {check.name}`"
        return "`--devices`" if check in ON_DEVICES else "by default"

    rows = [(c.name, c.catches, run(c)) for c in (*CHECKS, *SELECTIONS, *ON_DEVICES)]
    return table_of(("check", "what it catches", "runs"), rows)


def factors() -> str:
    """The table of what a call depends on."""
    rows = [(factor.name, ", ".join(factor.levels)) for factor in FACTORS]
    return table_of(("factor", "levels, the usual one first"), [*rows, ("dtype", ", ".join(DTYPES))])


def coverage() -> str:
    """How many rows a port is checked by, and what they cover."""
    rows = design_of(get_port("linen"))
    checked, of = coverage_of(rows)
    return f"```text\nlinen: {len(rows)} rows cover {checked} of {of} pairs and triples of levels.\n```"


def rules() -> str:
    """The list of what cannot go together."""

    def said(levels):
        return " and ".join(f"{name} {' or '.join(some)}" for name, some in levels.items())

    def line(rule, where=""):
        return f"- {where}{said(rule.when) or 'every row'}: only {said(rule.then)}, since {rule.why}."

    return "\n".join([*map(line, RULES), *(line(rule, "in a coarse dtype, ") for rule in COARSE_RULES)])


def faults() -> str:
    """The table of faults."""
    columns = "fault", "what is wrong", "the check that is there for it"
    return table_of(columns, [(fault.name, fault.what, fault.check) for fault in FAULTS])


def departures() -> str:
    """The table of departures."""
    rows = [(f"`{d.part}`", f"[{d.what}]({d.source})" if d.source else d.what, ", ".join(d.checks)) for d in DEPARTURES]
    return table_of(("part", "departure", "shows in"), rows)


def changes() -> str:
    """The table of what can change between two snapshots."""
    return table_of(("kind", "it"), [(f"`{kind}`", what) for kind, what in KINDS.items()])


def workloads() -> str:
    """The table of workloads."""
    rows = [
        f"| `{w.name}` | {w.batch_size} | {w.time} | {w.input_size} | {w.hidden_size} "
        f"| {w.parameters():,} | {w.summary} |"
        for w in WORKLOADS
    ]
    header = "| workload | B | T | D | H | parameters | what it stands for |"
    quick = ", ".join(f"`{name}`" for name in QUICK)
    return "\n".join(
        [header, "| --- | ---: | ---: | ---: | ---: | ---: | --- |", *rows, "", f"`--quick` takes {quick}."]
    )


def styles() -> str:
    """The table of call styles."""

    def cells(port, style, labels):
        source = f" ([source]({style.source}))" if style.source else ""
        return port.title, f"`{style.name}`", labels, f"`{style.summary}`{source}"

    columns = "port", "call style", "label", "what its user writes"
    return table_of(columns, [cells(*row) for row in style_rows(_own_ports())])


def _own_ports():
    return [get_port(name) for name in ("pure", "linen", "nnx", "equinox")]


def _train_step(label: str) -> str:
    """The code of a train step in a call style, in a tab for each framework."""
    tabs = []
    for port in _own_ports()[1:]:
        (style,) = styles_called(port, (label,), "train_step")
        block = f"```python\n{code_of(port.name, {'train_step': style})}```"
        tabs.append(f'=== "{port.title}"\n\n{textwrap.indent(block, "    ")}')
    return "\n\n".join(tabs)


def containers() -> str:
    """The table of containers and the layouts that they are written in, and that of each layout's arrays."""
    known = layouts()
    rows = []
    for c in CONTAINERS:
        suffixes = ", ".join(f"`{suffix}`" for suffix in c.suffixes)
        takes = ["yes" if c.layouts is None or name in c.layouts else "–" for name in known]
        rows.append((c.title, suffixes, *takes, f"`{c.reader}`"))
    arrays = [(f"`{n}`: {of.title}", ", ".join(f"`{a}`" for a in of.table())) for n, of in known.items()]
    tables = table_of(("container", "suffix", *known, "read by"), rows), table_of(("layout", "arrays"), arrays)
    return "\n\n".join(tables)


PARTS = {
    "changes": changes,
    "checks": checks,
    "coverage": coverage,
    "factors": factors,
    "rules": rules,
    "faults": faults,
    "workloads": workloads,
    "styles": styles,
    "train-step-documented": lambda: _train_step("documented"),
    "train-step-functional": lambda: _train_step("functional"),
    "layouts": containers,
    "departures": departures,
}

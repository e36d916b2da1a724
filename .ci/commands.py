"""The reference of the command line as a page, from the same records of which `--help` is made."""

from collections.abc import Iterator
from typing import Any

import typer.main
from trigru.bench.cli import app


def commands() -> str:
    """A section for each command: its help, and a table of its arguments and options."""
    group = typer.main.get_command(app)
    return "\n\n".join(_section(name, command) for name, command in group.commands.items())


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["trigru", name, *map(_argument, arguments), "[OPTIONS]"])
    rows = [f"| {_names(p)} | {' '.join(_said(p))} |" for p in command.params]
    table = ["| argument or option | meaning |", "| --- | --- |", *rows]
    return "\n\n".join([f"## trigru {name}", f"```text\n{usage}\n```", command.help, "\n".join(table)])


def _argument(p: Any) -> str:
    name = (p.metavar or p.name).upper() + "..." * (p.nargs != 1)
    return name if p.required else f"[{name}]"


def _names(p: Any) -> str:
    if p.param_type_name == "argument":
        return f"`{_argument(p)}`"
    value = "" if p.is_flag else f" {p.opts[0].lstrip('-').upper()}"
    return ", ".join(f"`{option}{value}`" for option in (*p.opts, *p.secondary_opts))


def _said(p: Any) -> Iterator[str]:
    """The help, and the default that `--help` shows."""
    yield p.help.replace("|", "\\|")
    if p.default is not None and not p.is_flag and p.param_type_name != "argument":
        yield f"By default `{p.default}`."
    least, most = p.min, p.max
    if least is not None:
        yield f"At least {least}." if most is None else f"From {least} to {most}."

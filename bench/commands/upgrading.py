"""The commands that answer whether an upgrade changed something. Their options; heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from . import arguments as given

Old = Annotated[
    Path, typer.Argument(metavar="OLD", help="A folder of trigru snapshot, or a results.json or its folder.")
]
New = Annotated[Path | None, typer.Argument(metavar="NEW", help="The newer one; not with --now.")]
Now = Annotated[
    bool, typer.Option("--now", help="Compare OLD with a snapshot of what is installed, taken on the spot.")
]
Candidates = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="With --now: this instead of what is installed, in an environment of its own: a version, as flax==0.12.0, "
        "the folder of a clone, a wheel, or a commit, as git+file:///home/me/flax@main (repeatable).",
    ),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        help="The kinds of changes between snapshots that make exit code 1, with commas. By default all but "
        "memory, bits and program; or all, or none.",
    ),
]
Equality = Annotated[
    bool, typer.Option("--equality/--no-equality", help="Also prove equality, which takes most of the time.")
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", parser=given.read_folder, help="Folder for the snapshot, which is replaced.")
]
File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="Of models of your own instead, as `trigru port` takes it; one is enough."),
]


def snapshot(
    file: File = None,
    ports: given.Ports = None,
    equality: Equality = True,
    anew: given.Anew = False,
    output: Folder = Path("snapshot"),
) -> None:
    """Write down all that is true of what is installed, apart from the clock: `trigru diff` compares it.

    Equality, the bits of results and of training, each value with its line of code, draws, trees, checkpoints,
    programs, Python calls and warnings; of the ports, and of the frameworks' own parts as people use them.
    """
    if anew and not equality:
        raise typer.BadParameter("--anew is about equality: it does not go with --no-equality.")
    from ..processes.probe import check_jax

    check_jax()  # before anything imports JAX
    from ..proving.prover import Prover
    from .options import claim_folder

    if file is not None and ports:
        raise typer.BadParameter("--port is about trigru's ports: it does not go with FILE.")
    with claim_folder(output, timing=False):
        if file is not None:
            from .snapshot import snapshot_of_file, tell

            tell(output, snapshot_of_file(output, str(file)))
            return
        with Prover(keep=given.keeps(), early=equality and not ports) as prover:
            from .options import read_ports
            from .snapshot import snapshot, tell

            anew = anew or not given.keeps()
            tell(output, snapshot(output, read_ports(ports), equality=equality, anew=anew, prover=prover))


def diff(
    old: Old,
    new: New = None,
    now: Now = False,
    candidates: Candidates = None,
    fail_on: FailOn = None,
    fail_above: given.FailAbove = 0.05,
    anyway: given.Anyway = False,
    details: given.Details = False,
    format: given.FindingsFormat = "text",
    output: given.DiffFolder = None,
) -> None:
    """Show what changed between two snapshots, by what it means, or between two runs.

    Exit code 1 if a change is of a kind that fails, a port is no longer equal, or an arm slower by more than
    --fail-above, beyond chance among all arms; 125 if the files do not compare.
    """
    if (new is None) != now:
        raise typer.BadParameter("pass NEW, or --now, and not both.")
    if candidates and not now:
        raise typer.BadParameter("--with is of --now.")
    from .diff import diff, read_kinds

    diff(
        old, new,
        candidates=candidates or (), fail_on=read_kinds(fail_on), details=details, format=format, output=output,
        fail_above=fail_above, anyway=anyway,
    )  # fmt: skip


Sets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SET",
        help='Version sets: "jax==0.6.2 flax==0.11.2", a day, as 2025-01-31, the folder of a clone, or a commit, as '
        "git+file:///home/me/flax@main.",
    ),
]
First = Annotated[
    str | None, typer.Option("--from", help="From this day or month on: what a user who installed on each day got.")
]
Every = Annotated[str, typer.Option("--every", help="The time between the days: 2months, week, 10days.")]
Python = Annotated[
    str | None, typer.Option("--python", help="Of the environments, as uv takes it. Default: the version of this one.")
]
MatrixFolder = Annotated[
    Path, typer.Option("--output", "-o", parser=given.read_folder, help="Folder for matrix.json and the snapshots.")
]


def matrix(
    sets: Sets = None,
    first: First = None,
    every: Every = "2months",
    ports: given.Ports = None,
    python: Python = None,
    equality: Equality = True,
    details: given.Details = False,
    format: given.FindingsFormat = "text",
    output: MatrixFolder = Path("matrix"),
) -> None:
    """Take a snapshot of several version sets, each in an environment of its own, and show what each changed.

    Started again with the same folder, it goes on where it was stopped. Exit code 1 if a set has no snapshot.
    """
    from .options import claim_folder

    with claim_folder(output, timing=False):
        from .matrix import matrix, read_sets

        matrix(
            read_sets(sets or (), first, every), output,
            python=python, ports=ports or (), equality=equality, details=details, format=format,
        )  # fmt: skip


Good = Annotated[str, typer.Argument(metavar="GOOD", help="A version set that is good: a day, or versions.")]
Bad = Annotated[str, typer.Argument(metavar="BAD", help="A later one that is not.")]
Command = Annotated[
    list[str] | None,
    typer.Argument(metavar="COMMAND", help="After --, run in each environment: exit code 0 is good, 125 means skip."),
]
Fact = Annotated[str | None, typer.Option("--fact", help="A kind of change, as function, draws, tree, calls or bits.")]
With = Annotated[list[str] | None, typer.Option("--with", help="A further package that COMMAND needs (repeatable).")]
BisectFolder = Annotated[Path, typer.Option("--output", "-o", parser=given.read_folder, help="Folder for snapshots.")]


def bisect(
    good: Good,
    bad: Bad,
    command: Command = None,
    fact: Fact = None,
    ports: given.Ports = None,
    python: Python = None,
    more: With = None,
    format: given.FindingsFormat = "text",
    output: BisectFolder = Path("bisect"),
) -> None:
    """Find the release that changed something: the day, then the package, then its release.

    Environments and snapshots are kept, so that it goes on where it was stopped.
    """
    from .options import claim_folder

    with claim_folder(output, timing=False):
        from .bisect import find

        find(
            good, bad,
            fact=fact, ports=ports, command=command or (), python=python, more=more or (), folder=output, format=format,
        )  # fmt: skip

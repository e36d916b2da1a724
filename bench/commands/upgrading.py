"""The commands that answer whether an upgrade changed something. Heavy imports wait."""

from pathlib import Path

import typer

from . import arguments as given


def snapshot(
    file: given.OwnModels = None,
    ports: given.Ports = None,
    equality: given.Equality = True,
    anew: given.Anew = False,
    output: given.SnapshotFolder = Path("snapshot"),
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

    if file is not None and ports:
        raise typer.BadParameter("--port is about trigru's ports: it does not go with FILE.")
    with given.claim_folder(output, timing=False):
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
    old: given.Old,
    new: given.New = None,
    now: given.Now = False,
    candidates: given.Candidates = None,
    fail_on: given.FailOn = None,
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


def matrix(
    sets: given.Sets = None,
    first: given.First = None,
    every: given.Every = "2months",
    ports: given.Ports = None,
    python: given.Python = None,
    equality: given.Equality = True,
    details: given.Details = False,
    format: given.FindingsFormat = "text",
    output: given.MatrixFolder = Path("matrix"),
) -> None:
    """Take a snapshot of several version sets, each in an environment of its own, and show what each changed.

    Started again with the same folder, it goes on where it was stopped. Exit code 1 if a set has no snapshot.
    """
    with given.claim_folder(output, timing=False):
        from .matrix import matrix, read_sets

        matrix(
            read_sets(sets or (), first, every), output,
            python=python, ports=ports or (), equality=equality, details=details, format=format,
        )  # fmt: skip


def bisect(
    good: given.Good,
    bad: given.Bad,
    command: given.Command = None,
    fact: given.Fact = None,
    ports: given.Ports = None,
    python: given.Python = None,
    more: given.With = None,
    format: given.FindingsFormat = "text",
    output: given.BisectFolder = Path("bisect"),
) -> None:
    """Find the release that changed something: the day, then the package, then its release.

    Environments and snapshots are kept, so that it goes on where it was stopped.
    """
    with given.claim_folder(output, timing=False):
        from .bisect import find

        find(
            good, bad,
            fact=fact, ports=ports, command=command or (), python=python, more=more or (), folder=output, format=format,
        )  # fmt: skip

"""The command line. `trigru --help` answers without importing JAX: heavy imports wait until a command runs."""

from .processes.interrupts import ignore, listen

if __name__ == "__main__":
    listen()  # before all other imports, which take a second

import atexit
import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from .commands import arguments as given
from .commands.group import Commands
from .reporting.console import say

app = typer.Typer(
    cls=Commands,
    help="One GRU with a learned initial state in Flax linen, Flax NNX and Equinox: proven equal, then timed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"trigru {version('trigru')}")
        raise typer.Exit
    return wanted


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def compare(
    ports: given.TimedPorts = None,
    workloads: given.Workloads = None,
    sizes: given.Sizes = None,
    phases: given.Phases = None,
    styles: given.Styles = None,
    kernels: given.Kernels = None,
    quick: given.Quick = False,
    processes: given.Processes = None,
    dtype: given.Dtype = "float32",
    precision: given.Precision = "highest",
    devices: given.TimedDevices = None,
    cold_start: given.ColdStart = False,
    no_proof: given.NoProof = False,
    anew: given.Anew = False,
    fresh: given.Fresh = False,
    details: given.Details = False,
    format: given.Format = "text",
    output: given.Folder = None,
) -> None:
    """Verify, then time. Prints the answer; writes results.json and report.html.

    A port that fails a check gets no number. A run that was stopped is continued by the same command, and another
    trigru that times on this machine is waited for. Exit code 1 if any check failed, or nothing has a number.
    """
    output = output or given.folder_of(sizes)
    unfinished = (output / "results.partial.jsonl").exists()
    if anew and unfinished and not fresh:
        raise typer.BadParameter("the folder holds an unfinished run with its proof: --anew needs --fresh, too.")
    if anew and no_proof:
        raise typer.BadParameter("--no-proof does not go with --anew: that is about the proof.")
    from .proving.prover import Prover
    from .timing.machine import load_average

    with given.claim_folder(output), ExitStack() as stack:
        load, proves = load_average(), not (no_proof or cold_start)
        early = not ports and not unfinished
        prover = stack.enter_context(Prover(early=early)) if proves else None
        from .commands import compare, options

        if cold_start:
            compare.start_cold(options.read_ports(ports), output)
            return
        plan = options.make_plan(
            ports, workloads, phases, styles, kernels,
            quick=quick, processes=processes, sizes=sizes, dtype=dtype, precision=precision, devices=devices,
        )  # fmt: skip
        compare.compare(
            plan, output,
            prover=prover, load=load, fresh=fresh, quick=quick or options.is_quick(sizes),
            anew=anew, details=details, json=format == "json",
        )  # fmt: skip


@app.command()
def verify(
    ports: given.Ports = None,
    dtypes: given.Dtypes = None,
    checks: given.Checks = None,
    kernels: given.ProvenKernels = None,
    format: given.FindingsFormat = "text",
    devices: given.Devices = None,
    hosts: given.Hosts = None,
    self_test: given.SelfTest = False,
    upstream: given.Upstream = False,
    anew: given.Anew = False,
) -> None:
    """Compare every port with the NumPy oracle. Exit code 1 if any check failed."""
    from .processes.probe import check_jax
    from .proving.prover import Prover

    check_jax()
    if hosts:
        from .commands import verify

        verify.verify_together(ports, kernels, hosts, format=format, devices=devices)
        return
    with Prover(early=not (ports or checks or dtypes), fast=self_test) as prover:
        from .commands import verify

        if self_test:
            verify.report_self_test(prover=prover)
        elif upstream:
            verify.report_upstream(ports, dtypes, checks, format=format, prover=prover)
        else:
            verify.verify(ports, dtypes, checks, kernels, format=format, devices=devices, anew=anew, prover=prover)


def _in_its_module(command: Callable[..., None]) -> Callable[..., None]:
    """A command that a function of its name does with the same arguments, in a module of its name."""

    @app.command()
    @wraps(command)
    def run(**arguments: Any) -> None:
        from .processes.probe import check_jax

        check_jax()  # before anything imports JAX
        module = import_module(f".commands.{command.__name__}", __package__)
        getattr(module, command.__name__)(**arguments)

    return run


@_in_its_module
def port(
    files: given.Models,
    inputs: given.Inputs = None,
    save: given.Save = None,
    time: given.WithTimes = False,
    format: given.Format = "text",
) -> None:
    """Compare two models of your own: the same function? where do they part?

    Exit code 0 if they are the same function, 1 if another, 125 if it cannot be told, 2 for a bad file or input.
    """


@_in_its_module
def convert(
    source: given.Source,
    target: given.Target,
    to: given.To = None,
    at: given.At = None,
    name: given.OwnNames = None,
    whole: given.Whole = False,
) -> None:
    """Convert the parameters of a GRU from one framework's layout to another's.

    Containers: .safetensors, .msgpack, .eqx, .pt and .pth (docs/convert.md).

    Values keep every bit, with one exception: torch's two biases of r and of z are added, with a warning.
    """


@_in_its_module
def report(
    results: given.Results,
    format: given.ReportFormat = "text",
    ratio: given.Ratio = "pure",
    workloads: given.Workloads = None,
    phases: given.ShownPhases = None,
    styles: given.ShownStyles = None,
    details: given.Details = False,
    output: given.PageFolder = None,
) -> None:
    """Print the answer of runs again, print their times in another format, or write the page of one."""


@_in_its_module
def styles(port: given.CodePort = None, style: given.CodeStyle = None) -> None:
    """Print the code of a call style, complete and runnable; without a port, a table of all call styles."""


@app.command()
def snapshot(
    file: given.OwnModels = None,
    ports: given.Ports = None,
    equality: given.Equality = True,
    anew: given.Anew = False,
    output: given.SnapshotFolder = Path("snapshot"),
) -> None:
    """Write down what the installed versions do, apart from the clock: `trigru diff` compares it.

    Equality, the bits of results and of training, values with their lines of code, draws, trees, checkpoints,
    programs, Python calls and warnings; of the ports, and of the frameworks' own parts as people use them.
    """
    if anew and not equality:
        raise typer.BadParameter("--anew is about equality: it does not go with --no-equality.")
    if file is not None and ports:
        raise typer.BadParameter("--port is about trigru's ports: it does not go with FILE.")
    from .proving.prover import Prover

    with given.claim_folder(output, timing=False):
        if file is not None:
            from .commands.snapshot import snapshot_of_file, tell

            tell(output, snapshot_of_file(output, str(file)))
            return
        with Prover(early=equality and not ports) as prover:
            from .commands.options import read_ports
            from .commands.snapshot import snapshot, tell

            tell(output, snapshot(output, read_ports(ports), equality=equality, anew=anew, prover=prover))


@_in_its_module
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


@_in_its_module
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


@_in_its_module
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

    Environments and snapshots are kept for the next time.
    """


def _open_closed_streams() -> None:
    """A stream that the shell has closed leads nowhere, so that no other file gets its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115


def main() -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2."""
    listen()
    atexit.register(ignore)  # the exit code is settled: a signal during Python's own end changes nothing
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # what the terminal's encoding cannot show is replaced
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from ..common.errors import TrigruError, UnjudgedError, what_to_install

    try:
        app()
    except (TrigruError, OSError) as error:
        is_of_stdout = isinstance(error, OSError) and error.errno and error.filename is None
        where = "stdout: " if is_of_stdout else ""  # other errors say what they are of
        say(f"error: {where}{error}")
        sys.exit(125 if isinstance(error, UnjudgedError) else 2)
    except ModuleNotFoundError as error:
        sentence = what_to_install(error)
        if sentence is None:
            raise
        say(f"error: {sentence}")
        sys.exit(2)


if __name__ == "__main__":
    main()

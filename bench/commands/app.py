"""The commands with their arguments and options.

Heavy imports wait until a command runs.
"""

from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ...common.errors import either
from ...common.port.names import PHASES
from ..processes.environment import check_jax
from ..reporting.console import ReportFormat
from . import arguments
from .arguments import Commands, Names

app = typer.Typer(
    cls=Commands,
    help="Compare models in JAX: which of Flax linen, Flax NNX and Equinox is fastest, "
    "whether two models are the same function, and what an upgrade of a library "
    "changed.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"trigru {metadata.version('trigru')}")
        raise typer.Exit
    return wanted


@app.callback()
def before_any_command(
    version: Annotated[
        bool,
        Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def compare(
    ports: Annotated[
        Names,
        Option(
            "--port",
            help="Time only this port: pure, linen, nnx, equinox or an installed "
            "one. Can be repeated. Default: all ports.",
        ),
    ] = None,
    workloads: arguments.Workloads = None,
    sizes: Annotated[
        Names,
        Option(
            "--size",
            help="Time the sizes of your model, such as "
            "inputs=20,hidden=200,batch=1,time=50, with the options of --quick. "
            "Several values, such as hidden=8,32,128, show how the time depends "
            "on the size. Can be repeated.",
        ),
    ] = None,
    phases: Annotated[
        Names,
        Option(
            "--phase",
            help=f"Time only this phase: {either(PHASES)}. Can "
            "be repeated. Default: forward, train_step and step; with --quick "
            "train_step and step; with another --kernel or with --devices "
            "forward and train_step.",
        ),
    ] = None,
    styles: Annotated[
        Names,
        Option(
            "--style",
            help="Time only this call style. The names documented and functional "
            "stand for one style of each port. Can be repeated.",
        ),
    ] = None,
    kernels: Annotated[
        Names,
        Option(
            "--kernel",
            help="Time this kernel: stock or fused. fused is compared with stock in "
            "the first call style of each port, or in those of --style. Can be "
            "repeated. Default: stock.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        Option(
            "--quick",
            help="Take a first look, with fewer workloads, phases, styles, processes "
            "and checks.",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        Option(
            min=1,
            max=1000,
            help="Measure everything in so many fresh processes. Default: 10, with "
            "--quick 4.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Option(
            help="Compute in this dtype. The parameters stay in float32.",
        ),
    ] = "float32",
    precision: Annotated[
        Literal["highest", "high", "default"],
        Option(
            help="Compute float32 matrix products in this precision of JAX. On an "
            "accelerator, high and default round.",
        ),
    ] = "highest",
    devices: Annotated[
        str | None,
        Option(
            help="Also spread the batch over so many devices, such as 1,2,4. On a "
            "CPU, these are parts of it. Default: 1.",
        ),
    ] = None,
    no_proof: Annotated[
        bool,
        Option(
            "--no-proof",
            help="Time without the checks of `trigru verify`. The first results of "
            "each program are still compared with the reference in NumPy.",
        ),
    ] = False,
    fresh: Annotated[
        bool,
        Option(
            "--fresh",
            help="Delete an unfinished run in the folder. Without this option, the "
            "run is continued.",
        ),
    ] = False,
    details: arguments.Details = False,
    format: arguments.TextOrJson = "text",
    output: Annotated[
        Path | None,
        arguments.output_folder(
            "Write results.json and report.html into this folder. Default: results, or "
            "with --size a folder such as results-hidden8."
        ),
    ] = None,
) -> None:
    """Time the same model in Flax linen, Flax NNX, Equinox and plain JAX.

    Each port is checked first, and a port that fails gets no number. The answer is
    printed; the results are written to results.json and report.html.

    If a run was stopped, the same command continues it. If another trigru is timing on
    this machine, the command waits for it.

    The exit code is 1 if a check failed, or if nothing was timed.
    """
    output = output or arguments.folder_of(sizes)
    unfinished = (output / "results.partial.jsonl").exists()
    from ..proving.prover import Prover
    from ..timing.machine import load_average

    with arguments.claim_folder(output), ExitStack() as stack:
        load, proves = load_average(), not no_proof
        early = not ports and not unfinished
        prover = stack.enter_context(Prover(early=early)) if proves else None
        from . import compare, options

        plan = options.make_plan(
            ports,
            workloads,
            phases,
            styles,
            kernels,
            quick=quick,
            processes=processes,
            sizes=sizes,
            dtype=dtype,
            precision=precision,
            devices=devices,
        )
        quick, json = quick or options.is_quick(sizes), format == "json"
        compare.compare(
            plan,
            output,
            prover,
            load,
            fresh=fresh,
            quick=quick,
            details=details,
            json=json,
        )


@app.command()
def verify(
    ports: arguments.Ports = None,
    dtypes: Annotated[
        Names,
        Option(
            "--dtype",
            help="Check only in this dtype. float64 shows whether it is the same "
            "function; float32, bfloat16 and float16 show whether it is "
            "accurate. Can be repeated.",
        ),
    ] = None,
    checks: Annotated[
        Names,
        Option(
            "--check",
            help="Run only this check. Can be repeated. Default: all checks that run "
            "by default.",
        ),
    ] = None,
    kernels: Annotated[
        Names,
        Option(
            "--kernel",
            help="Check this kernel, such as fused, instead of stock. Can be repeated.",
        ),
    ] = None,
    format: arguments.FindingsFormat = "text",
    devices: Annotated[
        int | None,
        Option(
            min=2,
            max=64,
            help="Also spread the batch over so many devices: parts of a CPU, or all "
            "accelerators.",
        ),
    ] = None,
    hosts: Annotated[
        str | None,
        Option(
            help="Check the devices of several hosts together. Pass auto where JAX "
            "finds the hosts (SLURM, Open MPI, Kubernetes, Cloud TPU). "
            "Elsewhere pass the first host's HOST:PORT, the number of hosts and "
            "the number of this host, such as 10.0.0.1:8476,2,0.",
        ),
    ] = None,
) -> None:
    """Check that every port computes the same function as a reference in NumPy.

    The exit code is 1 if a check failed.
    """
    chosen = {"--dtype": dtypes, "--check": checks}
    if hosts is not None:
        reason = "hosts run only the checks of many devices together"
        arguments.refuse_with("--hosts", chosen, reason)
    if devices is not None:
        arguments.refuse_with("--devices", chosen, "it adds checks to a full proof")
    from ..proving.prover import Prover

    check_jax()
    if hosts is not None:
        from . import verify

        verify.verify_together(ports, kernels, hosts, format=format, devices=devices)
        return
    with Prover(early=not (ports or checks or dtypes)) as prover:
        from . import verify

        verify.verify(
            ports,
            dtypes,
            checks,
            kernels,
            format=format,
            devices=devices,
            prover=prover,
        )


@app.command()
def port(
    files: Annotated[
        list[str],
        Argument(
            metavar="FILE...",
            help="A Python file with the names reference, candidate and x. Or two "
            "files, as old.py:name new.py:name. The files are run.",
        ),
    ],
    inputs: Annotated[
        str | None,
        Option(
            help="Take the inputs from FILE:NAME. Default: x of the last file.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        Option(
            help="Write the candidate with the parameters of the reference to this "
            ".safetensors, .msgpack or .eqx file.",
        ),
    ] = None,
    time: Annotated[
        bool,
        Option(
            "--time",
            help="Also time a forward pass and a training step with SGD of both "
            "models, if they are the same function.",
        ),
    ] = False,
    format: arguments.TextOrJson = "text",
) -> None:
    """Compare two models of your own: are they the same function, and if not, why?

    The models may be written in Flax linen, Flax NNX, Equinox, PyTorch or plain JAX.
    If they differ, the command looks for the lines of code that cause it.

    The exit code is 0 if they are the same function, 1 if they are not, 125 if it
    cannot be told, and 2 if a file or an input is wrong.
    """
    check_jax()  # before anything imports JAX
    from . import port

    port.port(
        files,
        inputs=inputs,
        save=save,
        time=time,
        format=format,
    )


@app.command()
def convert(
    source: Annotated[Path, Argument(metavar="IN", help="The file to read.")],
    target: Annotated[
        Path,
        Argument(metavar="OUT", help="The file to write. Its suffix decides its type."),
    ],
    to: Annotated[
        str | None,
        Option(
            help="Write this layout: canonical, linen, nnx, equinox or torch. "
            "Default: the only layout that a file of this type can hold.",
        ),
    ] = None,
    at: Annotated[
        Names,
        Option(
            help="Convert the GRU at this place of a larger file, such as "
            "params.GRU_0. Can be repeated with --whole.",
        ),
    ] = None,
    name: Annotated[
        Names,
        Option(
            help="Read an array under a name of your own, such as weight_ih=Wi. Can "
            "be repeated.",
        ),
    ] = None,
    whole: Annotated[
        bool,
        Option(
            "--whole",
            help="Also write the other arrays of the file. Without --at, every GRU "
            "is converted.",
        ),
    ] = False,
) -> None:
    """Convert the parameters of a GRU from one framework's layout to another's.

    The files may be .safetensors, .msgpack, .eqx, .pt or .pth.

    All values keep every bit, with one exception: PyTorch has two biases for the gates
    r and z. They are added, with a warning.
    """
    check_jax()  # before anything imports JAX
    from . import convert

    convert.convert(
        source,
        target,
        to=to,
        at=at,
        name=name,
        whole=whole,
    )


@app.command()
def report(
    results: Annotated[
        list[Path],
        Argument(
            metavar="RESULTS",
            help="Results of `trigru compare`: folders, files results.json, or a "
            "file results.partial.jsonl of a run that is not finished.",
        ),
    ],
    format: Annotated[
        ReportFormat,
        Option(
            "--format",
            help="Print the answer as text, all tables in Markdown, a row for each arm "
            "as CSV, or both answer and rows as JSON.",
        ),
    ] = "text",
    details: arguments.Details = False,
    output: Annotated[
        Path | None,
        arguments.output_folder("Write report.html into this folder, for one run."),
    ] = None,
) -> None:
    """Print the results of `trigru compare` again, or write them in another format."""
    check_jax()  # before anything imports JAX
    from . import report

    report.report(
        results,
        format=format,
        details=details,
        output=output,
    )


@app.command()
def snapshot(
    file: Annotated[
        Path | None,
        Argument(
            metavar="[FILE]",
            help="Take a snapshot of what the tests in this file pass to the fixture "
            "`unchanged`, or of the models in this file, which is written as "
            "for `trigru port`. One model is enough. Default: trigru's models "
            "and the parts of the frameworks.",
        ),
    ] = None,
    ports: arguments.Ports = None,
    output: Annotated[
        Path,
        arguments.output_folder(
            "Write the snapshot into this folder. An older one is replaced."
        ),
    ] = Path("snapshot"),
) -> None:
    """Record what the installed versions compute, for `trigru diff` to compare later.

    Recorded are results, training, random draws, trees of parameters, compiled
    programs, the Python that a call runs, and warnings; of trigru's models, and of the
    parts of JAX, Optax, Flax and Equinox that most programs use.
    """
    if file is not None and ports:
        raise typer.BadParameter(
            "--port is about trigru's ports: it does not go with FILE."
        )
    with arguments.claim_folder(output, timing=False):
        from ..proving.compiled_programs import programs_folder
        from ..upgrades import snapshot as snapshots
        from ..upgrades.user_tests import is_of_tests, take_snapshot_of_tests
        from .options import read_ports
        from .user_files import models_of

        if file is not None and is_of_tests(str(file)):
            taken = take_snapshot_of_tests(output, str(file))
        elif file is not None:
            models, inputs = models_of(str(file))
            taken = snapshots.take_snapshot_of_models(output, str(file), models, inputs)
        else:
            names = read_ports(ports)
            taken = snapshots.take_snapshot(output, names, programs_folder())
        snapshots.show_snapshot(output, taken)


@app.command()
def diff(
    old: Annotated[
        Path,
        Argument(
            metavar="OLD",
            help="The older folder, of `trigru snapshot` or of `trigru compare`.",
        ),
    ],
    new: Annotated[
        Path | None,
        Argument(metavar="NEW", help="The newer folder. Leave it out with --now."),
    ] = None,
    now: Annotated[
        bool,
        Option(
            "--now",
            help="Compare OLD with what is installed now.",
        ),
    ] = False,
    candidates: Annotated[
        Names,
        Option(
            "--with",
            help="With --now, compare this instead of what is installed: a version "
            "such as flax==0.12.0, the folder of a clone, a wheel, or a commit "
            "such as git+file:///home/me/flax@main. It gets an environment of "
            "its own. Can be repeated.",
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        Option(
            "--fail-on",
            help="Fail at these kinds of changes between snapshots, such as "
            "function,draws. Or pass all or none. The kind better never fails. "
            "Default: all but memory, bits and program.",
        ),
    ] = None,
    fail_above: Annotated[
        float,
        Option(
            min=0.0,
            max=1000.0,
            help="Fail if a program takes longer than before by more than this share.",
        ),
    ] = 0.05,
    anyway: Annotated[
        bool,
        Option(
            "--anyway",
            help="Compare two runs even if one lacks some programs or was "
            "interrupted, or if the device or flags differ.",
        ),
    ] = False,
    details: arguments.Details = False,
    format: arguments.FindingsFormat = "text",
) -> None:
    """Show what changed between two snapshots, or what got slower between two runs.

    The exit code is 1 if a change is of a kind that fails, if a port is no longer equal
    to the reference, or if a program got slower by more than --fail-above and chance
    does not explain it. It is 125 if the two cannot be compared.
    """
    check_jax()  # before anything imports JAX
    from . import diff

    diff.diff(
        old=old,
        new=new,
        now=now,
        candidates=candidates,
        fail_on=fail_on,
        fail_above=fail_above,
        anyway=anyway,
        details=details,
        format=format,
    )


@app.command()
def matrix(
    sets: Annotated[
        Names,
        Argument(
            metavar="SET",
            help='Version sets: versions such as "jax==0.6.2 flax==0.11.2", a day '
            "such as 2025-01-31, the folder of a clone, or a commit such as "
            "git+file:///home/me/flax@main.",
        ),
    ] = None,
    first: Annotated[
        str | None,
        Option(
            "--from",
            help="Start at this day or month, and take the newest releases of the "
            "frameworks on each day.",
        ),
    ] = None,
    every: Annotated[
        str,
        Option(
            help="Leave so much time between two days: 2months, week or 10days.",
        ),
    ] = "2months",
    ports: arguments.Ports = None,
    tests: arguments.Tests = None,
    python: arguments.Python = None,
    details: arguments.Details = False,
    format: arguments.FindingsFormat = "text",
    output: Annotated[
        Path,
        arguments.output_folder(
            "Write matrix.json and the snapshots into this folder."
        ),
    ] = Path("matrix"),
) -> None:
    """Take a snapshot of each of several version sets, and show what each changed.

    Each set gets an environment of its own. If the command was stopped, it continues
    with the same folder. The exit code is 1 if a set has no snapshot.
    """
    with arguments.claim_folder(output, timing=False):
        from ...impls import port_names
        from ..upgrades import matrix_page
        from ..upgrades.environments import Environments
        from ..upgrades.matrix import read_sets
        from .options import choose

        choose("port", ports, port_names())
        matrix_page.matrix(
            read_sets(sets or [], first, every),
            arguments.of_snapshot(ports, tests),
            Environments(python, ["pytest"] if tests else []),
            details=details,
            format=format,
            output=output,
        )


@app.command()
def bisect(
    good: Annotated[
        str,
        Argument(
            metavar="GOOD", help="A version set that is good: a day, or versions."
        ),
    ],
    bad: Annotated[
        str, Argument(metavar="BAD", help="A later version set that is bad.")
    ],
    command: Annotated[
        Names,
        Argument(
            metavar="COMMAND",
            help="A command that is run in each environment, after --. Its exit code "
            "0 means good, 125 means skip.",
        ),
    ] = None,
    fact: Annotated[
        str | None,
        Option(
            help="Look for this kind of change, such as function, draws, tree, calls "
            "or bits.",
        ),
    ] = None,
    ports: arguments.Ports = None,
    tests: arguments.Tests = None,
    python: arguments.Python = None,
    more: Annotated[
        Names,
        Option(
            "--with",
            help="Also install this package, which COMMAND needs. Can be repeated.",
        ),
    ] = None,
    format: arguments.FindingsFormat = "text",
    output: Annotated[
        Path, arguments.output_folder("Write snapshots into this folder.")
    ] = Path("bisect"),
) -> None:
    """Find the release that changed something: first the day, then the package.

    Name a kind of change by --fact, or a command of yours that fails, after --.
    Environments and snapshots are kept for the next time.
    """
    with arguments.claim_folder(output, timing=False):
        from ...impls import port_names
        from ..upgrades import bisect as bisection
        from ..upgrades.environments import Environments
        from ..upgrades.record import FACTS
        from .options import choose

        choose("port", ports, port_names())
        choose("fact", None if fact is None else [fact], FACTS)
        needed = list(more or [])
        if tests or (command and command[0] == "pytest"):
            needed.append("pytest")
        bisection.bisect(
            good,
            bad,
            command or [],
            fact,
            arguments.of_snapshot(ports, tests),
            Environments(python, needed),
            format,
            output,
        )

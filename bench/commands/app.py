"""The commands with their arguments and options.

Heavy imports wait until a command runs.
"""

from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ..processes.jax_start import check_jax
from . import arguments
from .arguments import Commands, Names

app = typer.Typer(
    cls=Commands,
    help="One GRU with a learned initial state in Flax linen, Flax NNX and Equinox: "
    "proven equal, then timed.",
    no_args_is_help=True,
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
            help="Only this port: pure, linen, nnx, equinox or an installed one "
            "(repeatable). Default: all.",
        ),
    ] = None,
    workloads: arguments.Workloads = None,
    sizes: Annotated[
        Names,
        Option(
            "--size",
            help="The sizes of your model, as in "
            "inputs=20,hidden=200,batch=1,time=50, answered as with --quick; several "
            "values, as in hidden=8,32,128, show the cost by size (repeatable).",
        ),
    ] = None,
    phases: Annotated[
        Names,
        Option(
            "--phase",
            help="forward, gradient, train_step or step (repeatable). Default: "
            "forward, train_step and step; train_step and step with --quick; forward "
            "and train_step with another --kernel or several --devices.",
        ),
    ] = None,
    styles: Annotated[
        Names,
        Option(
            "--style",
            help="Only this call style; documented and functional name one in each "
            "port (repeatable).",
        ),
    ] = None,
    kernels: Annotated[
        Names,
        Option(
            "--kernel",
            help="stock (the default), or fused, which is compared with stock in each "
            "port's first call style or in those of --style (repeatable).",
        ),
    ] = None,
    quick: Annotated[
        bool,
        Option(
            "--quick",
            help="A first look: fewer workloads, phases, styles, processes and checks.",
        ),
    ] = False,
    processes: Annotated[
        int | None,
        Option(
            min=1,
            max=1000,
            help="Fresh processes; each measures everything. Default: 10; 4 with "
            "--quick.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Option(
            "--dtype",
            help="Of the computation: float32, bfloat16 or float16. Parameters are "
            "float32.",
        ),
    ] = "float32",
    precision: Annotated[
        Literal["highest", "high", "default"],
        Option(
            "--precision",
            help="JAX's, of float32 matrix products: highest, high or default. The "
            "last two round on an accelerator.",
        ),
    ] = "highest",
    devices: Annotated[
        str | None,
        Option(
            "--devices",
            help="Spread the batch over so many devices, too, as in 1,2,4: parts of a "
            "CPU, or accelerators. Default: 1.",
        ),
    ] = None,
    no_proof: Annotated[
        bool,
        Option(
            "--no-proof",
            help="Time without verifying. The first results of each arm are still "
            "compared with the oracle.",
        ),
    ] = False,
    fresh: Annotated[
        bool,
        Option(
            "--fresh",
            help="Delete an unfinished run in the folder. Without it, the same "
            "command continues there.",
        ),
    ] = False,
    details: arguments.Details = False,
    format: arguments.Format = "text",
    output: Annotated[
        Path | None,
        arguments.output_folder(
            "Folder for results.json and report.html. Default: results; of --size, "
            "results-hidden8 or the like."
        ),
    ] = None,
) -> None:
    """Verify, then time. Prints the answer; writes results.json and report.html.

    A port that fails a check gets no number. A run that was stopped is continued by the
    same command, and another trigru that times on this machine is waited for.
    Exit code 1 if any check failed, or nothing has a number.
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
            help="float64 (same function?), float32, bfloat16 or float16 (accurate?); "
            "repeatable.",
        ),
    ] = None,
    checks: Annotated[
        Names, Option("--check", help="Only this check (repeatable).")
    ] = None,
    kernels: Annotated[
        Names,
        Option(
            "--kernel",
            help="Verify this kernel instead of stock, e.g. fused (repeatable).",
        ),
    ] = None,
    format: arguments.FindingsFormat = "text",
    devices: Annotated[
        int | None,
        Option(
            min=2,
            max=64,
            help="Also spread the batch over so many parts of a CPU as devices, or "
            "over all accelerators.",
        ),
    ] = None,
    hosts: Annotated[
        str | None,
        Option(
            "--hosts",
            help="Check many devices together with other hosts: auto where JAX finds "
            "them (SLURM, Open MPI, Kubernetes, Cloud TPU), else the first one's "
            "HOST:PORT, how many there are, and which this is, as in "
            "10.0.0.1:8476,2,0.",
        ),
    ] = None,
) -> None:
    """Compare every port with the NumPy oracle. Exit code 1 if any check failed."""
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
            help="A Python file with reference, candidate and x; or two, as "
            "old.py:name new.py:name. They are run.",
        ),
    ],
    inputs: Annotated[
        str | None,
        Option(
            "--inputs", help="FILE:NAME of the inputs. Default: x of the last file."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        Option(
            "--save",
            help="Write the candidate with the reference's parameters to a "
            ".safetensors, .msgpack or .eqx file.",
        ),
    ] = None,
    time: Annotated[
        bool,
        Option(
            "--time",
            help="Also time both, if they are the same function: forward, and a step "
            "of SGD.",
        ),
    ] = False,
    format: arguments.Format = "text",
) -> None:
    """Compare two models of your own: the same function? where do they part?

    Exit code 0 if they are the same function, 1 if another, 125 if it cannot be told, 2
    for a bad file or input.
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
    source: Annotated[Path, Argument(metavar="IN", help="A file.")],
    target: Annotated[
        Path,
        Argument(metavar="OUT", help="The suffix gives the type of file to write."),
    ],
    to: Annotated[
        str | None,
        Option(
            "--to",
            help="canonical, linen, nnx, equinox or torch. Default: the one that OUT "
            "can hold, where that is only one.",
        ),
    ] = None,
    at: Annotated[
        Names,
        Option(
            "--at",
            help="The GRU's place in a larger file, as params.GRU_0 (repeatable with "
            "--whole).",
        ),
    ] = None,
    name: Annotated[
        Names,
        Option(
            "--name", help="A name of the file's own, as weight_ih=Wi (repeatable)."
        ),
    ] = None,
    whole: Annotated[
        bool,
        Option(
            "--whole",
            help="Write the other arrays of the file, too. Default --at: every GRU.",
        ),
    ] = False,
) -> None:
    """Convert the parameters of a GRU from one framework's layout to another's.

    Containers: .safetensors, .msgpack, .eqx, .pt and .pth (docs/convert.md).

    Values keep every bit, with one exception: torch's two biases of r and of z are
    added, with a warning.
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
            help="Files results.json, their folders, or results.partial.jsonl.",
        ),
    ],
    format: Annotated[
        Literal["text", "markdown", "csv", "json", "html"],
        Option(
            "--format",
            help="text, markdown, csv, json or html. text takes no --ratio, "
            "--workload, --phase or --style.",
        ),
    ] = "text",
    ratio: Annotated[
        Literal["pure", "pairwise", "time"],
        Option(
            "--ratio",
            help="pure: time / plain JAX's. pairwise: each two frameworks in the same "
            "call style. time: seconds per call.",
        ),
    ] = "pure",
    workloads: arguments.Workloads = None,
    phases: Annotated[
        Names, Option("--phase", help="Only this phase (repeatable).")
    ] = None,
    styles: Annotated[
        Names,
        Option(
            "--style",
            help="A call style or a label (repeatable). Default: documented and "
            "functional.",
        ),
    ] = None,
    details: arguments.Details = False,
    output: Annotated[
        Path | None, arguments.output_folder("Folder for report.html, of one run.")
    ] = None,
) -> None:
    """Print the answer of runs again, or their times in a format, or write a page."""
    check_jax()  # before anything imports JAX
    from . import report

    report.report(
        results,
        format=format,
        ratio=ratio,
        workloads=workloads,
        phases=phases,
        styles=styles,
        details=details,
        output=output,
    )


@app.command()
def snapshot(
    file: Annotated[
        Path | None,
        Argument(
            metavar="[FILE]",
            help="Of models of your own instead, as `trigru port` takes it; one is "
            "enough.",
        ),
    ] = None,
    ports: arguments.Ports = None,
    output: Annotated[
        Path, arguments.output_folder("Folder for the snapshot, which is replaced.")
    ] = Path("snapshot"),
) -> None:
    """Write down what the installed versions do, for `trigru diff` to compare.

    The bits of results and of training, values with their lines of code, draws, trees,
    programs, Python calls and warnings; of the ports, and of the frameworks' own parts
    as people use them.
    """
    if file is not None and ports:
        raise typer.BadParameter(
            "--port is about trigru's ports: it does not go with FILE."
        )
    with arguments.claim_folder(output, timing=False):
        from ..proving.compiled_programs import programs_folder
        from ..upgrades import snapshot as snapshots
        from .options import read_ports
        from .user_files import models_of

        if file is not None:
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
            help="A folder of trigru snapshot, or a results.json or its folder.",
        ),
    ],
    new: Annotated[
        Path | None, Argument(metavar="NEW", help="The newer one; not with --now.")
    ] = None,
    now: Annotated[
        bool,
        Option(
            "--now",
            help="Compare OLD with a snapshot of what is installed, taken on the spot.",
        ),
    ] = False,
    candidates: Annotated[
        Names,
        Option(
            "--with",
            help="With --now: this instead of what is installed, in an environment of "
            "its own: a version, as flax==0.12.0, the folder of a clone, a wheel, or "
            "a commit, as git+file:///home/me/flax@main (repeatable).",
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        Option(
            "--fail-on",
            help="The kinds of changes between snapshots that make exit code 1, with "
            "commas: all, none, or some; better never does. Default: all but memory, "
            "bits and program.",
        ),
    ] = None,
    fail_above: Annotated[
        float,
        Option(
            min=0.0,
            max=1000.0,
            help="The share by which an arm may be slower than before.",
        ),
    ] = 0.05,
    anyway: Annotated[
        bool,
        Option(
            "--anyway",
            help="Compare runs although arms are in one file only, one was "
            "interrupted, or the device or flags differ.",
        ),
    ] = False,
    details: arguments.Details = False,
    format: arguments.FindingsFormat = "text",
    output: Annotated[
        Path | None, arguments.output_folder("Folder for diff.html.")
    ] = None,
) -> None:
    """Show what changed between two snapshots, by what it means, or between two runs.

    Exit code 1 if a change is of a kind that fails, a port is no longer equal, or an
    arm slower by more than --fail-above, beyond chance among all arms; 125 if the files
    do not compare.
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
        output=output,
    )


@app.command()
def matrix(
    sets: Annotated[
        Names,
        Argument(
            metavar="SET",
            help='Version sets: "jax==0.6.2 flax==0.11.2", a day, as 2025-01-31, the '
            "folder of a clone, or a commit, as git+file:///home/me/flax@main.",
        ),
    ] = None,
    first: Annotated[
        str | None,
        Option(
            "--from",
            help="From this day or month on: the frameworks' newest releases on each "
            "day.",
        ),
    ] = None,
    every: Annotated[
        str, Option("--every", help="The time between the days: 2months, week, 10days.")
    ] = "2months",
    ports: arguments.Ports = None,
    python: arguments.Python = None,
    details: arguments.Details = False,
    format: arguments.FindingsFormat = "text",
    output: Annotated[
        Path, arguments.output_folder("Folder for matrix.json and the snapshots.")
    ] = Path("matrix"),
) -> None:
    """Take a snapshot of several version sets, and show what each changed.

    Each set has an environment of its own. Started again with the same folder, it goes
    on where it was stopped. Exit code 1 if a set has no snapshot.
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
            [f"--port={name}" for name in ports or []],
            Environments(python),
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
    bad: Annotated[str, Argument(metavar="BAD", help="A later one that is not.")],
    command: Annotated[
        Names,
        Argument(
            metavar="COMMAND",
            help="After --, run in each environment: exit code 0 is good, 125 means "
            "skip.",
        ),
    ] = None,
    fact: Annotated[
        str | None,
        Option(
            "--fact", help="A kind of change, as function, draws, tree, calls or bits."
        ),
    ] = None,
    ports: arguments.Ports = None,
    python: arguments.Python = None,
    more: Annotated[
        Names,
        Option("--with", help="A further package that COMMAND needs (repeatable)."),
    ] = None,
    format: arguments.FindingsFormat = "text",
    output: Annotated[Path, arguments.output_folder("Folder for snapshots.")] = Path(
        "bisect"
    ),
) -> None:
    """Find the release that changed something: the day, the package, then its release.

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
        bisection.bisect(
            good,
            bad,
            command or [],
            fact,
            ports or [],
            Environments(python, more or []),
            format,
            output,
        )

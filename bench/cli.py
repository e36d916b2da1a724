"""The command line. `trigru --help` answers without importing JAX: heavy imports wait until a command runs."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from .reporting.console import leave, say

app = typer.Typer(
    help="One GRU with a learned initial state in Flax linen, Flax NNX and Equinox: proven equal, then timed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Ports = Annotated[list[str] | None, typer.Option("--port", help="Only this port (repeatable). Default: all.")]
Workloads = Annotated[list[str] | None, typer.Option("--workload", help="Only this workload (repeatable).")]
Phases = Annotated[
    list[str] | None,
    typer.Option(
        "--phase",
        help="forward, gradient, train_step or step (repeatable). Default: forward, train_step and step; forward and "
        "train_step if --kernel is not stock.",
    ),
]
Styles = Annotated[
    list[str] | None,
    typer.Option("--style", help="Only this call style; documented and functional name one in each port (repeatable)."),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel",
        help="stock (the default), or fused, which is compared with stock in each port's first call style or in those "
        "of --style. May have choices, as in fused@save=none (repeatable).",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A first look: fewer workloads and call styles, one process.")]
Rounds = Annotated[int | None, typer.Option(min=2, help="Rounds of each group in each process.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Fresh processes; each measures everything. Default: 10; 1 with --quick.")
]
CompileAnew = Annotated[
    bool, typer.Option("--compile-anew", help="Compile in every process, not in the first two alone.")
]
Seed = Annotated[int, typer.Option(help="Seed of the order of arms and of the bootstrap.")]
Peers = Annotated[bool, typer.Option("--peers", help="Also time the GRUs of torch, Haiku and Keras.")]
Sweep = Annotated[str | None, typer.Option(help="Vary one size of a workload (default: question): hidden=8,32,128.")]
Limit = Annotated[
    float | None,
    typer.Option(
        "--limit",
        min=1,
        help="End a process that says nothing for this many seconds; its current arm gets no number. Default: 300.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue where the same command was stopped.")]
Cache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep the programs that are compiled to verify, for the next time. Nothing that is timed uses them.",
    ),
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for results.json and report.md.")]


def _say_version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(f"trigru {version('trigru')}")
        raise typer.Exit
    return asked


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that need no command."""


@app.command()
def compare(
    ports: Ports = None,
    workloads: Workloads = None,
    phases: Phases = None,
    styles: Styles = None,
    kernels: Kernels = None,
    quick: Quick = False,
    rounds: Rounds = None,
    processes: Processes = None,
    limit_s: Limit = None,
    compile_anew: CompileAnew = False,
    seed: Seed = 0,
    peers: Peers = False,
    sweep: Sweep = None,
    resume: Resume = False,
    cache: Cache = True,
    output: Folder = Path("results"),
) -> None:
    """Verify, then time. Prints tables and then a summary; writes results.json and report.md.

    A port that is not proven equal gets no number. Exit code 1 if any check failed.
    """
    from .proving.prover import Prover

    with Prover(keep=cache, early=not (ports or resume)) as prover:
        from .commands import compare, options

        options.check_folder(output)
        plan = options.make_plan(
            ports, workloads, phases, styles, kernels,
            quick=quick, rounds=rounds, processes=processes, limit_s=limit_s, compile_anew=compile_anew, seed=seed,
            peers=peers, sweep=sweep,
        )  # fmt: skip
        compare.compare(plan, output, resume=resume, prover=prover)


@app.command()
def verify(
    ports: Ports = None,
    dtypes: Annotated[
        list[str] | None,
        typer.Option("--dtype", help="float64 (same function?), float32 or bfloat16 (accurate?); repeatable."),
    ] = None,
    checks: Annotated[list[str] | None, typer.Option("--check", help="Only this check (repeatable).")] = None,
    kernels: Annotated[
        list[str] | None, typer.Option("--kernel", help="Verify this kernel instead of stock, e.g. fused (repeatable).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print measurements as JSON instead of a table.")] = False,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test", help="Verify ports with planted faults (minutes). Fails if a fault goes unnoticed."
        ),
    ] = False,
    upstream: Annotated[
        bool,
        typer.Option("--upstream", help="Verify the frameworks' own parts. Fails if they do not differ as recorded."),
    ] = False,
    cache: Cache = True,
) -> None:
    """Compare every port with the NumPy oracle. Exit code 1 if any check failed."""
    if self_test and (ports or dtypes or checks or kernels or json or upstream):
        raise typer.BadParameter("--self-test takes no other option: each fault is run through its own check.")
    if upstream and kernels:
        raise typer.BadParameter("--upstream takes no --kernel: it verifies the frameworks' own parts.")
    from .proving.prover import Prover

    with Prover(keep=cache, early=not (ports or checks or dtypes)) as prover:
        from .commands import verify

        if self_test:
            verify.report_self_test(prover=prover)
        elif upstream:
            verify.report_upstream(ports, dtypes, checks, json=json, prover=prover)
        else:
            verify.verify(ports, dtypes, checks, kernels, json=json, prover=prover)


@app.command()
def bench(
    ports: Ports = None,
    workloads: Workloads = None,
    phases: Phases = None,
    styles: Styles = None,
    kernels: Kernels = None,
    quick: Quick = False,
    rounds: Rounds = None,
    processes: Processes = None,
    limit_s: Limit = None,
    compile_anew: CompileAnew = False,
    seed: Seed = 0,
    peers: Peers = False,
    sweep: Sweep = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure identical and slowed arms instead, to test the verdicts.")
    ] = False,
    cold_start: Annotated[
        bool, typer.Option("--cold-start", help="Time import, init, compilation and first step in fresh processes.")
    ] = False,
    resume: Resume = False,
    output: Folder = Path("results"),
) -> None:
    """Time without verifying. The first results of each arm are still compared with the oracle."""
    chosen = bool(workloads or phases or styles or kernels or peers or sweep)
    if calibrate and (chosen or ports or cold_start):
        raise typer.BadParameter(
            "--calibrate takes no workloads, ports, kernels, peers or sweep: its arms are its own."
        )
    if cold_start and (chosen or quick or rounds or processes or limit_s or compile_anew or seed or resume):
        raise typer.BadParameter("--cold-start takes --port and --output alone.")
    from .commands import bench, options

    options.check_folder(output)
    if cold_start:
        bench.start_cold(options.read_ports(ports), output)
        return
    if calibrate:
        plan = options.calibration_plan(
            quick=quick, rounds=rounds, processes=processes, limit_s=limit_s, compile_anew=compile_anew, seed=seed
        )
    else:
        plan = options.make_plan(
            ports, workloads, phases, styles, kernels,
            quick=quick, rounds=rounds, processes=processes, limit_s=limit_s, compile_anew=compile_anew, seed=seed,
            peers=peers, sweep=sweep,
        )  # fmt: skip
    bench.benchmark(plan, output, resume=resume)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, or an Orbax folder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The suffix gives the type of file to write.")],
    to: Annotated[
        str | None,
        typer.Option("--to", help="canonical, linen, nnx, equinox or torch. Default: the one that OUT can hold."),
    ] = None,
    of: Annotated[
        str | None, typer.Option("--from", help="The layout that IN must have. Default: found from its names.")
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle", help="Read torch's .pt and .pth files, which are pickles. Only if you trust them."
        ),
    ] = False,
) -> None:
    """Convert the parameters of a GRU from one framework's layout to another's.

    Containers: .safetensors, .npz, .msgpack, .orbax, .eqx, .pt and .pth (docs/convert.md). Values keep every bit, with
    one exception: torch's two biases of a gate are added, with a warning.
    """
    from .commands import convert

    convert.convert(source, target, to, of, allow_pickle=allow_pickle)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results.json, or its folder.")],
    details: Annotated[bool, typer.Option("--details", help="Also print the tables of programs.")] = False,
) -> None:
    """Print a results file again: first what was proven equal, then the times."""
    from .commands import report

    report.report(results, details=details)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The older results.json, or its folder.")],
    new: Annotated[Path, typer.Argument(help="The newer results.json, or its folder.")],
    fail_above: Annotated[float, typer.Option(min=0.0, help="The fraction by which an arm may be slower.")] = 0.05,
    absolute: Annotated[
        bool,
        typer.Option(
            "--absolute", help="Compare times, not ratios to the baseline. Only for idle, identical machines."
        ),
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Accept arms that are in one file only, and interrupted runs.")
    ] = False,
    allow_other_machine: Annotated[
        bool, typer.Option("--allow-other-machine", help="Accept another device, environment or precision.")
    ] = False,
    details: Annotated[bool, typer.Option("--details", help="Also print the tables of all arms.")] = False,
) -> None:
    """Show what changed between two results files: what was proven equal, and how long arms take.

    Exit code 1 if a port is no longer equal or an arm got slower, 2 if the files cannot be compared.
    """
    from .commands import diff

    diff.diff(
        old, new,
        fail_above=fail_above, absolute=absolute, allow_missing=allow_missing, allow_other_machine=allow_other_machine,
        details=details,
    )  # fmt: skip


@app.command()
def train(
    experiments: Annotated[
        list[str] | None, typer.Option("--experiment", help="vowels, sunspots-2, -8 or -32 (repeatable). Default: all.")
    ] = None,
    ports: Annotated[
        list[str] | None, typer.Option("--port", help="Only this framework (repeatable). Default: all three.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each kind, or draws. Default: 20; 3 with --vanishing.")
    ] = None,
    vanishing: Annotated[
        bool, typer.Option("--vanishing", help="Measure instead the gradient that reaches the initial state.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: few epochs and seeds, short sequences.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the numbers, pictures and fitted parameters.")
    ] = Path("results/train"),
) -> None:
    """Train on real sequences, to see whether learning the initial state pays: about ten minutes.

    Exit code 1 if the frameworks' float64 losses are not the same.
    """
    if vanishing and experiments:
        raise typer.BadParameter("--vanishing takes no --experiment: its data are random.")
    from .commands import options, train

    options.check_folder(output)
    if vanishing:
        train.train_vanishing(ports, seeds=seeds, quick=quick, folder=output)
    else:
        train.train(experiments, ports, seeds=seeds, quick=quick, folder=output)


def main() -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2."""
    from ..common.errors import TrigruError

    signal.signal(signal.SIGINT, leave)
    try:
        app()
    except (TrigruError, OSError) as error:
        say(f"error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()

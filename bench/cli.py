"""The command line. Nothing heavy is imported until a command runs: `trigru --help` answers without JAX."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..common.equivalence import Measurement
    from ..common.port import Port
    from .results import Results
    from .run import Plan

__all__ = ["app", "main"]

app = typer.Typer(
    help="One GRU with a learned initial state in Flax linen, Flax NNX and Equinox: proven equal, then timed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

NOTHING_MEASURED = "interrupted: nothing was measured, nothing written."

Ports = Annotated[list[str] | None, typer.Option("--port", help="Only this port (repeatable). [default: all]")]
Workloads = Annotated[list[str] | None, typer.Option("--workload", help="Only this workload (repeatable).")]
Phases = Annotated[list[str] | None, typer.Option("--phase", help="forward or train_step (repeatable).")]
Styles = Annotated[list[str] | None, typer.Option("--style", help="Only this call style (repeatable).")]
Quick = Annotated[bool, typer.Option("--quick", help="A first look: fewer workloads, fewer rounds.")]
Rounds = Annotated[int | None, typer.Option(min=6, help="For each group; fewer than 6 bear no 95 % interval.")]
Seed = Annotated[int, typer.Option(help="Of the arms' orders and the bootstrap.")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for results.json and report.md.")]


@app.command()
def compare(
    ports: Ports = None,
    workloads: Workloads = None,
    phases: Phases = None,
    styles: Styles = None,
    quick: Quick = False,
    rounds: Rounds = None,
    seed: Seed = 0,
    output: Folder = Path("results"),
) -> None:
    """Verify, then time, then print the tables and write results.json and report.md.

    A port that is not proven equal gets no number. Exit code 1 if any check failed.
    """
    _check_folder(output)
    plan = _plan(ports, workloads, phases, styles, quick, rounds, seed)
    from .arms import BASELINE
    from .results import load_average

    load_before = load_average()
    measurements, missing = _verify(tuple(dict.fromkeys((BASELINE[0], *plan.ports))), _dtypes(None))
    from .report import equality_table

    equality = equality_table(measurements)
    _print([equality])
    failed: dict[str, dict[str, None]] = {}
    for m in measurements:
        if not m.passed:
            failed.setdefault(m.port, {})[m.check] = None
    excluded = missing | {port: f"not proven equal: {', '.join(checks)}" for port, checks in failed.items()}
    _bench(plan, excluded, output, [equality], load_before)
    if failed:
        raise typer.Exit(1)


@app.command()
def verify(
    ports: Ports = None,
    dtypes: Annotated[
        list[str] | None, typer.Option("--dtype", help="float64 (same function?) or float32 (accurate?).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print measurements as JSON instead of a table.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Verify faulty ports instead, and fail if a fault goes unnoticed.")
    ] = False,
) -> None:
    """Hold every port to the NumPy oracle. Exit code 1 if any check failed."""
    if self_test:
        _self_test(_dtypes(dtypes))
        return
    measurements, missing = _verify(_port_names(ports), _dtypes(dtypes))
    if json:
        from .results import equality_json

        typer.echo(equality_json(measurements, missing))
    else:
        from .report import equality_table

        _print([equality_table(measurements)])
    failed = sum(not m.passed for m in measurements)
    if failed:
        _say(f"{failed} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    _say(f"{len(measurements)} measurements, all within their bounds.")


@app.command()
def bench(
    ports: Ports = None,
    workloads: Workloads = None,
    phases: Phases = None,
    styles: Styles = None,
    quick: Quick = False,
    rounds: Rounds = None,
    seed: Seed = 0,
    output: Folder = Path("results"),
) -> None:
    """Time alone; each arm's first results are still held to the oracle."""
    _check_folder(output)
    plan = _plan(ports, workloads, phases, styles, quick, rounds, seed)
    from .results import load_average

    _bench(plan, {}, output, [], load_average())


@app.command()
def report(results: Annotated[Path, typer.Argument(help="A results.json.")]) -> None:
    """Print the tables of a results file again."""
    from .report import timing_tables
    from .results import load

    found = load(results)
    _print(timing_tables(found), found)


def main() -> None:
    """Run the command line; a mistake of the user's ends in its message and exit code 2."""
    from ..common.errors import TrigruError

    signal.signal(signal.SIGINT, _leave)
    try:
        app()
    except (TrigruError, OSError) as error:
        _say(f"error: {error}")
        sys.exit(2)


def _plan(
    ports: list[str] | None,
    workloads: list[str] | None,
    phases: list[str] | None,
    styles: list[str] | None,
    quick: bool,
    rounds: int | None,
    seed: int,
) -> "Plan":
    from ..common.errors import UnknownNameError
    from ..common.task import PHASES
    from ..impls import get_port, unavailable
    from .run import Plan
    from .workloads import QUICK, WORKLOADS, find_workload

    names = _port_names(ports)
    chosen = workloads or (QUICK if quick else [w.name for w in WORKLOADS])
    for workload in chosen:
        find_workload(workload)
    for phase in phases or ():
        if phase not in PHASES:
            raise UnknownNameError("phase", phase, list(PHASES))
    known = {style.name for port in names if not unavailable(port) for style in get_port(port).call_styles}
    for style in styles or ():
        if style not in known:
            raise UnknownNameError(f"call style of {', '.join(names)}", style, sorted(known))
    quickened: dict[str, Any] = {"rounds": 22, "sample_time_s": 4e-3} if quick else {}
    if rounds is not None:
        quickened["rounds"] = rounds
    return Plan(
        tuple(chosen),
        tuple(phases or PHASES),
        tuple(names),
        tuple(styles) if styles else None,
        seed=seed,
        **quickened,
    )


def _check_folder(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, expected a folder to write results into.")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} is not writable. Pass another folder with --output.")


def _dtypes(names: list[str] | None) -> tuple[str, ...]:
    from ..common.checks import DTYPES
    from ..common.errors import UnknownNameError

    for name in names or ():
        if name not in DTYPES:
            raise UnknownNameError("dtype", name, list(DTYPES))
    return tuple(names or DTYPES)


def _port_names(names: list[str] | None) -> tuple[str, ...]:
    from ..impls import get_port, port_names

    for name in names or ():
        get_port(name)  # a port that was asked for by name must be there
    return tuple(names or port_names())


def _verify(names: tuple[str, ...], dtypes: tuple[str, ...]) -> "tuple[list[Measurement], dict[str, str]]":
    from ..common.equivalence import verify
    from ..impls import get_port, unavailable

    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        _say(reason)
    ports: list[Port] = [get_port(name) for name in names if name not in missing]
    with _nothing_if_interrupted(), _Progress("verify") as progress:
        measurements = verify(
            ports,
            dtypes=dtypes,
            progress=lambda done, total, what: progress.to(done / total, f"verify {what}"),
        )
    return measurements, missing


def _self_test(dtypes: tuple[str, ...]) -> None:
    from ..common.equivalence import verify
    from ..impls import get_port
    from ..impls.mutants import MUTANTS
    from .report import self_test_table

    noticed: dict[str, list[str]] = {}
    with _nothing_if_interrupted(), _compiled_once(), _Progress("self-test") as progress:
        for number, mutant in enumerate(MUTANTS):
            progress.to(number / len(MUTANTS), f"self-test {mutant.name}")
            found = verify([mutant.port], dtypes=dtypes)
            noticed[mutant.name] = list(dict.fromkeys(m.check for m in found if not m.passed))
        sound = all(m.passed for m in verify([get_port("pure")], dtypes=dtypes))
    _print([self_test_table(noticed)])
    if not sound:
        _say("the port without a fault failed, too: the above says nothing.")
    if not sound or not all(noticed.values()):
        raise typer.Exit(1)


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Most of a mutant's programs are those of the others, too: look them up."""
    from tempfile import TemporaryDirectory

    import jax

    with TemporaryDirectory(prefix="trigru-") as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        yield
        jax.config.update("jax_enable_compilation_cache", False)  # the folder goes


def _bench(plan: "Plan", excluded: dict[str, str], folder: Path, before: list[Any], load_before: float | None) -> None:
    from dataclasses import replace

    import jax

    from ..common.files import write_whole
    from ..impls import get_port, unavailable
    from .report import markdown, timing_tables
    from .results import assemble, provenance, save
    from .run import MATMUL_PRECISION, run

    benchmarks, untimed, complete = [], [], False
    jax.config.update("jax_enable_compilation_cache", False)  # a cached program is not compiled again
    with _Progress("bench") as progress:
        try:
            for found, without in run(replace(plan, excluded=tuple(excluded.items())), progress.add):
                benchmarks += found
                untimed += without
            complete = True
        except KeyboardInterrupt:
            if not benchmarks:
                _say(NOTHING_MEASURED)
                raise typer.Exit(130) from None
        packages = [package for port in plan.ports if not unavailable(port) for package in get_port(port).packages]
        facts = provenance(plan.seed, MATMUL_PRECISION, load_before, complete=complete, packages=packages)
        results = assemble(benchmarks, untimed, facts)
        save(results, folder / "results.json")
        sections = timing_tables(results)
        write_whole(folder / "report.md", markdown("trigru", [*before, *sections], results).encode())
    _print(sections, results)
    _say(f"written: {folder / 'results.json'}, {folder / 'report.md'}")
    if not complete:
        _say("interrupted: the groups above are complete, the others were not measured.")
        raise typer.Exit(130)


def _leave(*_: object) -> None:
    """On Ctrl-C outside of measuring and writing: modules may be half imported, so go without tidying up."""
    _say(NOTHING_MEASURED)
    os._exit(130)


@contextmanager
def _nothing_if_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _say(NOTHING_MEASURED)
        raise typer.Exit(130) from None


class _Progress:
    """A progress bar on stderr that is gone when the work is done.

    While it is shown, Ctrl-C takes effect at the next step: JAX runs callbacks that would swallow a KeyboardInterrupt
    raised inside them. A second Ctrl-C takes effect at once.
    """

    def __init__(self, what: str):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            BarColumn(20),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(what, total=1.0)
        self._interrupted = False

    def __enter__(self) -> "_Progress":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        signal.signal(signal.SIGINT, self._before)

    def to(self, share: float, what: str) -> None:
        self._bar.update(self._task, completed=share, description=what)
        self._stop_if_interrupted()

    def add(self, what: str, share: float) -> None:
        self._bar.update(self._task, advance=share, description=what)
        self._stop_if_interrupted()

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _stop_if_interrupted(self) -> None:
        if self._interrupted:
            raise KeyboardInterrupt


def _print(sections: list[Any], results: "Results | None" = None) -> None:
    from rich.console import Console

    from .report import provenance_lines, terminal

    console = Console()
    if not console.is_terminal:  # a pipe has no width of its own; tables are made for 100 columns
        console = Console(width=100)
    for line in provenance_lines(results) if results else ():
        console.print(line, markup=False, highlight=False)
    console.print(terminal(sections))


def _say(message: str) -> None:
    typer.echo(message, err=True)


if __name__ == "__main__":
    main()

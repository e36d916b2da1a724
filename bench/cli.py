"""The command line. Nothing heavy is imported until a command runs: `trigru --help` answers without JAX."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .progress import NOTHING_MEASURED, Progress, leave, say

if TYPE_CHECKING:
    from ..common.checks import Check
    from ..common.equivalence import Measurement
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
        list[str] | None,
        typer.Option("--dtype", help="float64 (same function?), float32 or bfloat16 (accurate?); repeatable."),
    ] = None,
    checks: Annotated[list[str] | None, typer.Option("--check", help="Only this check (repeatable).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print measurements as JSON instead of a table.")] = False,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Verify faulty ports instead (minutes); fails if a fault goes unnoticed."),
    ] = False,
    upstream: Annotated[
        bool,
        typer.Option("--upstream", help="Verify the frameworks' own parts, and fail if they are not as on record."),
    ] = False,
) -> None:
    """Hold every port to the NumPy oracle. Exit code 1 if any check failed."""
    if self_test:
        if ports or dtypes or checks or json or upstream:
            raise typer.BadParameter("--self-test takes no other option: every mutant meets every check.")
        _self_test()
        return
    if upstream:
        _upstream(ports, _dtypes(dtypes), _checks(checks), json)
        return
    names = _port_names(ports)
    measurements, missing = _verify(names, _dtypes(dtypes), _checks(checks))
    if json:
        from ..impls import get_port
        from .results import equality_json

        packages = [package for name in names if name not in missing for package in get_port(name).packages]
        typer.echo(equality_json(measurements, missing, packages))
    else:
        from .report import equality_table

        _print([equality_table(measurements)])
    failed = sum(not m.passed for m in measurements)
    if failed:
        say(f"{failed} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    if not measurements:
        raise typer.BadParameter("nothing was measured: most checks are asked in float64 alone (docs/equality.md).")
    unchecked = f" Not checked: {', '.join(missing)}." if missing else ""
    say(f"{len(measurements)} measurements, all within their bounds.{unchecked}")


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

    signal.signal(signal.SIGINT, leave)
    try:
        app()
    except (TrigruError, OSError) as error:
        say(f"error: {error}")
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
    return tuple(dict.fromkeys(names or DTYPES))


def _checks(names: list[str] | None) -> "tuple[Check, ...] | None":
    from ..common.checks import checks_named

    return checks_named(*dict.fromkeys(names)) if names else None


def _port_names(names: list[str] | None) -> tuple[str, ...]:
    from ..impls import get_port, port_names

    for name in names or ():
        get_port(name)  # a port that was asked for by name must be there
    return tuple(dict.fromkeys(names or port_names()))


def _verify(
    names: tuple[str, ...], dtypes: tuple[str, ...], checks: "tuple[Check, ...] | None" = None
) -> "tuple[list[Measurement], dict[str, str]]":
    from ..impls import get_port, unavailable
    from .verification import hold

    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    return hold([get_port(name) for name in names if name not in missing], dtypes, checks), missing


def _upstream(names: list[str] | None, dtypes: tuple[str, ...], checks: "tuple[Check, ...] | None", json: bool) -> None:
    from ..common.errors import UnknownNameError
    from ..impls import unavailable, upstream
    from .verification import hold

    for name in names or ():
        if name not in upstream.NAMES:
            raise UnknownNameError("port with an upstream part", name, list(upstream.NAMES))
    missing = {name: reason for name in names or upstream.NAMES if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    present = [name for name in names or upstream.NAMES if name not in missing]
    measurements = hold([upstream.upstream(name).PORT for name in present], dtypes, checks)
    findings = [f for name in present for f in upstream.find_departures(name, measurements)]
    if json:
        from .results import equality_json

        packages = [package for name in present for package in upstream.upstream(name).PORT.packages]
        typer.echo(equality_json(measurements, missing, packages, findings))
    else:
        from .report import departures_table, equality_table

        _print([equality_table(measurements, failures=False), departures_table(findings)])
    off_record = sum(finding.status != upstream.ON_RECORD for finding in findings)
    if off_record:
        say(f"{off_record} of {len(findings)} departures are not as on record.")
        raise typer.Exit(1)
    say(f"{len(findings)} departures, all on record.")


def _self_test() -> None:
    from .report import self_test_table
    from .verification import hold_mutants

    noticed, sound = hold_mutants()
    _print([self_test_table(noticed)])
    if not sound:
        say("the port without a fault failed, too: the above says nothing.")
    if not sound or not all(noticed.values()):
        raise typer.Exit(1)


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
    with Progress("bench") as progress:
        try:
            for found, without in run(replace(plan, excluded=tuple(excluded.items())), progress.add):
                benchmarks += found
                untimed += without
            complete = True
        except KeyboardInterrupt:
            if not benchmarks:
                say(NOTHING_MEASURED)
                raise typer.Exit(130) from None
        packages = [package for port in plan.ports if not unavailable(port) for package in get_port(port).packages]
        facts = provenance(plan.seed, MATMUL_PRECISION, load_before, complete=complete, packages=packages)
        results = assemble(benchmarks, untimed, facts)
        save(results, folder / "results.json")
        sections = timing_tables(results)
        write_whole(folder / "report.md", markdown("trigru", [*before, *sections], results).encode())
    _print(sections, results)
    say(f"written: {folder / 'results.json'}, {folder / 'report.md'}")
    if not complete:
        say("interrupted: the groups above are complete, the others were not measured.")
        raise typer.Exit(130)


def _print(sections: list[Any], results: "Results | None" = None) -> None:
    from rich.console import Console

    from .report import provenance_lines, terminal

    console = Console()
    if not console.is_terminal:  # a pipe has no width of its own; tables are made for 100 columns
        console = Console(width=100)
    for line in provenance_lines(results) if results else ():
        console.print(line, markup=False, highlight=False)
    console.print(terminal(sections))


if __name__ == "__main__":
    main()

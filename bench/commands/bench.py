"""The work of `trigru bench`: a plan from the options, and a run under a progress bar, kept as it comes."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import typer

from ...common.errors import InputError, TrigruError, UnknownNameError
from ...common.files import write_whole
from ...common.gru.kernels import STOCK, parse_kernel
from ...common.port.task import PHASES
from ...impls import get_port, port_names, unavailable
from ..analysis.calibration import calibration_tables
from ..analysis.overhead import tax_tables
from ..arms.arms import divisions_of, packages_of
from ..arms.peers import PEERS
from ..arms.plan import Plan
from ..arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload, sweep
from ..reporting.console import NOTHING_MEASURED, Progress, nothing_if_interrupted, say, show
from ..reporting.kernels import kernel_tables
from ..reporting.plots import plot_sweep
from ..reporting.sections import Section, markdown
from ..reporting.times import closing_tables, summary_tables, timing_tables
from ..results.record import FILE, Results, command_line, save
from ..timing.coldstart import cold_start_tables, cold_starts
from ..timing.journal import PARTIAL, Journal
from ..timing.machine import describe_machine, load_average
from ..timing.supervisor import merge, run

__all__ = [
    "DEFAULT_PHASES",
    "benchmark",
    "calibration_plan",
    "check_folder",
    "make_plan",
    "named_kernels",
    "named_ports",
    "start_cold",
    "tables_of",
]

#: `gradient` is most of `train_step`, and is measured where it is asked for.
DEFAULT_PHASES = ("forward", "train_step", "step")
#: One time step has no loop, and runs the framework's cell whatever the kernel.
KERNEL_PHASES = ("forward", "train_step")
QUICK_OPTIONS: dict[str, Any] = {"processes": 1, "sample_time_s": 4e-3}
SWEPT = "question"
#: Groups of each workload in a calibration.
TRIALS = 10
COLD_STARTS = 5
SWEEP_PLOT = "sweep.png"


def make_plan(
    ports: list[str] | None,
    workloads: list[str] | None,
    phases: list[str] | None,
    styles: list[str] | None,
    kernels: list[str] | None,
    *,
    quick: bool,
    rounds: int | None,
    processes: int | None,
    seed: int,
    peers: bool,
    sweep_of: str | None,
) -> Plan:
    """A plan from the command line's options; None or False is what is not asked for.

    Raises:
        UnknownNameError: a name that nothing has.
        InputError: a choice in a kernel's name that it does not know.
    """
    names = named_ports(ports)
    timed = named_kernels(kernels, names)
    usual = STANDARD if timed == (STOCK,) else tuple(workload.name for workload in WORKLOADS)
    chosen = workloads or ([SWEPT] if sweep_of else QUICK if quick else usual)
    for workload in chosen:
        get_workload(workload)
    if sweep_of and len(chosen) > 1:
        raise InputError("a sweep is of one workload; sweep each on its own.")
    if sweep_of:
        chosen = [swept for workload in chosen for swept in sweep(workload, sweep_of)]
    for phase in phases or ():
        if phase not in PHASES:
            raise UnknownNameError("phase", phase, list(PHASES))
    known = {style.name for port in names if not unavailable(port) for style in get_port(port).call_styles}
    for style in styles or ():
        if style not in known:
            raise UnknownNameError(f"call style of {', '.join(names)}", style, sorted(known))
    options = _options(quick=quick, rounds=rounds, processes=processes)
    return Plan(
        tuple(chosen),
        tuple(phases or (DEFAULT_PHASES if timed == (STOCK,) else KERNEL_PHASES)),
        names,
        PEERS if peers else (),
        tuple(styles) if styles else None,
        kernels=timed,
        seed=seed,
        **options,
    )


def benchmark(
    plan: Plan,
    folder: Path,
    *,
    resume: bool,
    load_before: float | None = None,
    before: Sequence[Section] = (),
    below: Sequence[str] = (),
) -> Results:
    """Measure, print the tables, and write results.json and report.md; Ctrl-C keeps what was measured.

    Args:
        plan: what to measure.
        folder: to write into.
        resume: go on with what an earlier run left there.
        load_before: of the machine, where it is known from before other work of this process.
        before: tables for the head of report.md.
        below: lines for the end of the screen.
    """
    load_before = load_average() if load_before is None else load_before
    journal = Journal(folder / PARTIAL, plan, command_line(), load_before, resume=resume)
    try:
        with Progress("bench") as progress:
            run(journal, progress.add)
    except KeyboardInterrupt:
        if not journal.records:
            journal.close()
            say(NOTHING_MEASURED)
            raise typer.Exit(130) from None
    except TrigruError:
        if journal.records:
            say(f"{journal.path} has what was measured; the same command with --resume goes on from there.")
        raise
    results = merge(journal)
    save(results, folder / FILE)
    sections = tables_of(results)
    write_whole(folder / "report.md", markdown("trigru", [*before, *sections], results).encode())
    show(sections, results)
    plotted = f", {folder / SWEEP_PLOT}" if plot_sweep(results, folder / SWEEP_PLOT) else ""
    say(f"written: {folder / FILE}, {folder / 'report.md'}{plotted}")
    show(closing_tables(results), below=below)
    if not journal.complete:
        say("interrupted: the same command with --resume goes on from here.")
        raise typer.Exit(130)
    journal.close()
    return results


def tables_of(results: Results) -> list[Section]:
    """All that a results file has to say."""
    if results.trigru.plan.trials:
        return calibration_tables(results)
    makers = (summary_tables, tax_tables, kernel_tables, timing_tables)
    return [section for make in makers for section in make(results)]


def calibration_plan(*, quick: bool, rounds: int | None, processes: int | None, seed: int) -> Plan:
    """Groups of arms whose truth is known: 210 comparisons of identical code, 30 each of slowed arms."""
    options = _options(quick=quick, rounds=rounds, processes=processes)
    return Plan(QUICK, ("forward",), ("pure",), seed=seed, trials=TRIALS, **options)


def named_kernels(kernels: list[str] | None, ports: tuple[str, ...]) -> tuple[str, ...]:
    """The kernels asked for, each of which some port offers."""
    found = tuple(dict.fromkeys(kernels or (STOCK,)))
    present = [get_port(port) for port in ports if not unavailable(port)]
    offered = dict.fromkeys([STOCK, *(kernel for port in present for kernel in port.kernels)])
    for base, named in divisions_of(found).items():
        if base not in offered and present:
            raise UnknownNameError(f"kernel of {', '.join(ports)}", named[0], list(offered))
        for kernel in named:
            parse_kernel(kernel)  # refuses choices that there are not
    return found


def _options(*, quick: bool, rounds: int | None, processes: int | None) -> dict[str, Any]:
    options: dict[str, Any] = dict(QUICK_OPTIONS) if quick else {}
    options |= {} if rounds is None else {"rounds": rounds}
    options |= {} if processes is None else {"processes": processes}
    if options.get("processes") == 1 and rounds is not None and rounds < 6:
        raise InputError(
            "fewer than 6 rounds in one process bear no 95 % interval. Pass --rounds 6 or more, or --processes 2."
        )
    return options


def start_cold(ports: tuple[str, ...], folder: Path) -> None:
    """Time what users of each port wait for before the first train step; write cold_start.json."""
    measured, load_before = datetime.now(UTC).isoformat(), load_average()
    with nothing_if_interrupted(), Progress("cold start") as progress:
        starts = cold_starts([name for name in ports if not unavailable(name)], COLD_STARTS, progress.add)
    content = {
        "schema": 2,
        "command": command_line(),
        "datetime": measured,
        "machine": describe_machine([package for name in ports for package in packages_of(name)]),
        "load_before": load_before,
        "load_after": load_average(),
        "starts": starts,
    }
    write_whole(folder / "cold_start.json", msgspec.json.format(msgspec.json.encode(content), indent=1))
    show(cold_start_tables(starts, measured, (load_before, content["load_after"])))
    say(f"written: {folder / 'cold_start.json'}")


def named_ports(names: list[str] | None) -> tuple[str, ...]:
    """The ports asked for, or all; one that was asked for by name must be there."""
    for name in names or ():
        get_port(name)
    return tuple(dict.fromkeys(names or port_names()))


def check_folder(folder: Path) -> None:
    """Raise an OSError unless results can be written into a folder."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, expected a folder to write results into.")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} is not writable. Pass another folder with --output.")

"""`trigru bench`: measure under a progress bar, keep what comes, then print tables and write files."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer

from ...common.equality.verification import Measurement
from ...common.errors import TrigruError
from ...common.files import write_whole
from ...common.gru.kernels import STOCK
from ..analysis.equality import proofs_of
from ..analysis.merge import merge
from ..arms.arms import packages_of, unavailable
from ..arms.plan import expand
from ..reporting.console import NOTHING_MEASURED, Progress, nothing_if_interrupted, say, show
from ..reporting.plots import plot_sweep
from ..reporting.provenance import provenance_lines
from ..reporting.sections import markdown
from ..reporting.sight import expectation, sight_lines
from ..reporting.starts import cold_start_tables
from ..results.files import FILE, command_line, save
from ..results.record import Arm, Plan, Results, Untimed
from ..timing.coldstart import cold_starts
from ..timing.journal import PARTIAL, Begun, Journal
from ..timing.machine import describe_machine, load_average
from ..timing.supervisor import run
from .report import show_summary, tables_of, time_tables

COLD_STARTS = 5
SWEEP_PLOT = "sweep.png"


def benchmark(
    plan: Plan,
    folder: Path,
    *,
    resume: bool,
    load_before: float | None = None,
    equality: list[Measurement] | None = None,
    backend: str | None = None,
) -> Results:
    """Measure, print the tables, and write results.json and report.md. Ctrl-C keeps what was measured.

    Args:
        resume: continue an earlier run in that folder, with what was proven there.
        load_before: load of the machine before this process did other work, where that is known.
        equality: its measurements; None where nothing was measured.
        backend: the platform on which equality was measured.
    """
    path = folder / PARTIAL
    if resume:
        journal = Journal.resume(path, plan)
    else:
        arms = expand(plan)
        untimed = unproven_arms(arms, equality or [])
        untimed += [Untimed(arm, unavailable(arm.port) or "") for arm in arms if arm.style is None]
        load = load_average() if load_before is None else load_before
        journal = Journal(path, Begun(plan, arms, untimed, equality, backend, command_line(), load))
    say(expectation(plan))
    try:
        with Progress("bench") as progress:
            run(journal, progress.add)
    except KeyboardInterrupt:
        if not journal.groups_timed:
            journal.close()
            say(NOTHING_MEASURED)
            raise typer.Exit(130) from None
    except TrigruError:
        if journal.groups_timed:
            say(f"{journal.path} has what was measured; the same command with --resume goes on from there.")
        raise
    results = merge(journal)
    save(results, folder / FILE)
    above = [*provenance_lines(results), *sight_lines(results)]
    write_whole(folder / "report.md", markdown("trigru", above, tables_of(results)).encode())
    show(time_tables(results), above=provenance_lines(results))
    plotted = f", {folder / SWEEP_PLOT}" if plot_sweep(results, folder / SWEEP_PLOT) else ""
    say(f"written: {folder / FILE}, {folder / 'report.md'}{plotted}")
    show_summary(results)
    if not journal.complete:
        say("interrupted: the same command with --resume goes on from here.")
        raise typer.Exit(130)
    journal.close()
    return results


def unproven_arms(arms: list[Arm], measurements: list[Measurement]) -> list[Untimed]:
    """Arms whose port, on their kernel or on the stock cell, is not proven equal."""
    failed = {(proof.port, proof.kernel): proof.failed for proof in proofs_of(measurements) if not proof.is_equal}
    return [
        Untimed(arm, f"not proven equal: {', '.join(checks)}")
        for arm in arms
        if (checks := failed.get((arm.port, STOCK)) or failed.get((arm.port, str(arm.kernel))))
    ]


def start_cold(ports: tuple[str, ...], folder: Path) -> None:
    """Time how long users of each port wait for the first train step; write cold_start.json."""
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

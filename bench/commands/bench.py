"""`trigru bench`: measure under a progress bar, keep what comes, then print tables and write files."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer

from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError
from ...common.files import write_whole
from ...common.gru.kernels import STOCK
from ..analysis.answer import answer
from ..analysis.equality import proofs_of
from ..analysis.merge import merge
from ..analysis.starts import SCHEMA, ColdStarts
from ..arms.arms import packages_of, unavailable
from ..arms.plan import expand, packages_of_plan
from ..processes.claims import now
from ..processes.interrupts import shielded
from ..reporting.console import Progress, say, show
from ..reporting.sight import expectation
from ..reporting.starts import cold_start_tables
from ..results.arm import Arm, Plan, Untimed
from ..results.files import FILE, command_line, save
from ..results.lines import GO_ON
from ..results.record import Results
from ..timing.coldstart import cold_starts
from ..timing.journal import PARTIAL, Begun, Journal, ResumeError, unfinished_error
from ..timing.machine import (
    commit_of_trigru,
    cpu_name,
    describe_machine,
    load_average,
    version_differences,
    versions_of,
)  # fmt: skip
from ..timing.supervisor import run
from .claims import Unfinished
from .pages import write_pages
from .report import show_run

COLD_STARTS = 5


def benchmark(
    plan: Plan,
    folder: Path,
    unfinished: Unfinished,
    *,
    load_before: float | None = None,
    equality: list[Measurement] | None = None,
    backend: str | None = None,
    details: bool = False,
    json: bool = False,
) -> Results:
    """Measure, show the run, and write results.json and the files that show it, which a complete run alone replaces.

    What was measured before an interruption stays in the journal. The caller has claimed the folder and the machine.

    Args:
        unfinished: what to do with the journal of an earlier run. One that is resumed keeps what was proven there.
        load_before: load of the machine before this process did other work, where that is known.
        equality: its measurements; None where nothing was measured.
        backend: the platform on which equality was measured.
        details, json: see `show_run`.
    """
    path, journal = folder / PARTIAL, None
    refuse_unfinished(folder, unfinished)
    try:
        if unfinished == "resume":
            journal = Journal.resume(path, plan)
            check_same(journal)
        else:
            begun = _begun(plan, equality, backend, load_average() if load_before is None else load_before)
            with shielded():
                if unfinished == "discard":
                    path.unlink(missing_ok=True)
                journal = Journal(path, begun)
        say(expectation(plan))
        with Progress("bench") as progress:
            run(journal, progress.add)
    except (KeyboardInterrupt, TrigruError, OSError) as error:
        if isinstance(error, KeyboardInterrupt) and journal and journal.groups_timed:
            show_run(merge(journal), details=details, json=json)
        if journal:
            say(kept(journal))
        raise
    results = merge(journal, cpu_name(), load_average())
    if not results.benchmarks:
        show_run(results, details=details, json=json)
        say(f"no arm has a number: {folder} is as it was.")
        journal.close()
        raise typer.Exit(1)
    found = answer(results)
    with shielded():
        try:
            save(results, folder / FILE)
            written = write_pages(folder, [results], [found])
        except OSError:
            say(kept(journal))
            raise
        journal.close()
        show_run(results, found=found, details=details, json=json)
        say(f"written: {', '.join(map(str, (folder / FILE, *written)))}")
        say(f"all tables: trigru report {folder} --details")
    return results


def _begun(plan: Plan, equality: list[Measurement] | None, backend: str | None, load: float | None) -> Begun:
    """The first line of a run's journal."""
    arms = expand(plan)
    untimed = unproven_arms(arms, equality or [])
    untimed += [Untimed(arm, unavailable(arm.port) or "") for arm in arms if arm.style is None]
    software = versions_of(packages_of_plan(plan)), commit_of_trigru()
    return Begun(plan, arms, untimed, equality, backend, command_line(), load, now(), *software)


def check_same(journal: Journal) -> None:
    """Raise a ResumeError if a journal, and what was proven in it, is of other versions or another commit."""
    begun, commit = journal.begun, commit_of_trigru()
    differences = version_differences(begun.versions, versions_of(packages_of_plan(journal.plan)))
    if commit != begun.commit:
        differences.append(f"commit {commit}, was {begun.commit}")
    if begun.versions and differences:
        raise ResumeError(f"{journal.path} was begun elsewhere: {'; '.join(differences)}. Begin anew with --discard.")


def refuse_unfinished(folder: Path, unfinished: Unfinished) -> None:
    """Raise an UnfinishedError if the folder has the journal of another run, and nothing is said about it."""
    path = folder / PARTIAL
    if unfinished == "refuse" and (path.exists() or path.is_symlink()):
        raise unfinished_error(path)


def kept(journal: Journal) -> str:
    """What is left of a run that ended early."""
    if not journal.groups_timed and not journal.begun.equality:
        journal.close()
        return "nothing was measured, and nothing written."
    whole = len(journal.groups()) * journal.plan.processes
    return (
        f"{len(journal.groups_timed)} of {whole} parts are kept in {journal.path}, which `trigru report` reads. {GO_ON}"
    )


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
    with Progress("cold start") as progress:
        starts = cold_starts([name for name in ports if not unavailable(name)], COLD_STARTS, progress.add)
    machine = describe_machine([package for name in ports for package in packages_of(name)])
    content = ColdStarts(SCHEMA, command_line(), measured, machine, load_before, load_average(), starts)
    with shielded():
        try:
            write_whole(folder / "cold_start.json", msgspec.json.format(msgspec.json.encode(content), indent=1))
        finally:  # what cannot be written is shown at least
            show(cold_start_tables(starts, measured, (load_before, content.load_after)))
        say(f"written: {folder / 'cold_start.json'}")

"""`trigru compare`: verify, time what passed, print the answer, write files."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from ...common.equality.checks import CHECKS, DTYPES
from ...common.equality.measurement import Measurement
from ...common.errors import TrigruError
from ...common.gru.kernels import STOCK
from ...impls import unavailable
from ..analysis.benchmarks import Results
from ..analysis.merge import merge
from ..arms.arms import BASELINE, expand, packages_of
from ..processes.environment import shared_memory, with_variables
from ..processes.interrupts import shielded
from ..processes.scratch import now
from ..proving.compiled_programs import programs_folder
from ..proving.prover import Prover
from ..reporting.answer import show_run
from ..reporting.answer_page import answer_page
from ..reporting.console import Progress, say
from ..results.arm import NOT_PROVEN, Arm, Load, Plan, Untimed
from ..results.files import FILE, PARTIAL, Journal, ResumeError, command_line, save
from ..results.proof import proofs_of
from ..results.run import Begun, Ended
from ..timing.machine import commit_of_trigru, load_average, versions_of
from ..timing.supervisor import run
from .options import checks_of
from .report import PAGE, write_page
from .verify import Verified, verify_ports

#: Equality is checked over at most so many devices, as by `trigru verify --devices`.
MOST_DEVICES = 64


def compare(
    plan: Plan,
    folder: Path,
    prover: Prover | None,
    load: Load | None,
    *,
    fresh: bool,
    quick: bool,
    details: bool,
    json: bool,
) -> None:
    """Verify, time and answer, and write the files of the run.

    The caller has claimed the folder and the machine. Exits with 1 if a check failed,
    or nothing has a number.

    Args:
        plan: what is timed.
        folder: for the files. An unfinished run of the same plan that is there is
            continued, with the measurements of equality that it has.
        prover: None to verify nothing.
        load: that of the machine before this command started any process.
        fresh: delete an unfinished run instead.
        quick: verify no more than what is timed.
        details: print all tables, too.
        json: print JSON for machines.
    """
    path = folder / PARTIAL
    journal = None
    if not fresh:
        journal = unfinished_run(path, plan, proven=prover is not None, quick=quick)
    if journal is None:
        verified = None
        if prover is not None:
            verified = verify_plan(plan, prover, quick=quick)
        journal = begin_run(path, plan, verified, load)

    try:
        time_arms(journal, quick=quick, keep_programs=prover is not None)
    except (KeyboardInterrupt, TrigruError, OSError) as error:
        if isinstance(error, KeyboardInterrupt) and journal.run.samples:
            show_run(merge(journal.run), details=details, json=json)
        _say_what_is_kept(journal)
        raise

    results = merge(journal.run)
    if not results.benchmarks:
        show_run(results, details=details, json=json)
        say(f"no arm has a number: {folder} is as it was.")
        journal.discard()
        raise typer.Exit(1)

    with shielded():
        save_results(results, journal, folder)
        show_run(results, details=details, json=json)
        say(f"written: {folder / FILE}")
        save_page(results, folder)
        say(f"all tables: trigru report {folder} --details; code: docs/call-styles.md")
    if not all(m.passed for m in results.trigru.begun.equality or ()):
        raise typer.Exit(1)


def unfinished_run(
    path: Path, plan: Plan, *, proven: bool, quick: bool
) -> Journal | None:
    """The unfinished run to continue; None where there is none.

    Args:
        path: of its journal.
        plan: which it must have.
        proven: whether it must have measurements of equality.
        quick: whether those of a first look are enough.

    Raises:
        ResumeError: it is damaged, has another plan, or lacks measurements.
    """
    if not path.exists() and not path.is_symlink():
        return None
    if proven:
        _require_proof(path, quick=quick)
    versions = versions_of(packages_of(plan.ports))
    commit = commit_of_trigru()
    with shielded():
        journal = Journal.resume(path, plan, versions, commit)
    since = journal.run.begun.since or "?"
    say(f"continues a run of {since} UTC: {_parts(journal)} are in {path}.")
    return journal


def _require_proof(path: Path, *, quick: bool) -> None:
    measurements = Journal.read(path).run.begun.equality
    if measurements is None:
        raise ResumeError(
            f"{path} is of a run with --no-proof: pass that to continue it, or "
            "--fresh to delete it."
        )
    checked = {measurement.check for measurement in measurements}
    in_full = {check.name for check in CHECKS if check.cases is None}
    if not quick and not in_full <= checked:
        raise ResumeError(
            f"{path} is of a first look, not proven in full: add --quick, or --fresh "
            "to delete it."
        )


def verify_plan(plan: Plan, prover: Prover, *, quick: bool) -> Verified:
    """Verify the ports of a plan and the baseline: in full, or only what is timed."""
    baseline_port, baseline_style = BASELINE
    ports = tuple(dict.fromkeys((baseline_port, *plan.ports)))
    kernels = tuple(dict.fromkeys((STOCK, *plan.kernels)))  # each is timed beside it
    dtypes, checks, styles = DTYPES, CHECKS, None
    if quick:
        dtypes = ("float64", plan.dtype)
        checks = checks_of(plan)
        timed_styles = None
        if plan.styles:
            timed_styles = (*plan.styles, baseline_style)
        styles = dict.fromkeys(plan.phases, timed_styles)
    devices = None
    if len(plan.devices) > 1:
        devices = min(max(plan.devices), MOST_DEVICES)
    # most of a GPU's memory is left to the processes that time
    with with_variables(shared_memory()):
        return verify_ports(
            ports, dtypes, checks, kernels, styles, devices=devices, prover=prover
        )


def begin_run(
    path: Path, plan: Plan, verified: Verified | None, load: Load | None
) -> Journal:
    """The journal of a new run, in place of one that is there.

    An arm gets no number if its port is not available, or failed a check.
    """
    arms = expand(plan)
    measurements, backend = None, None
    if verified is not None:
        measurements = verified.measurements
        backend = verified.backend
    begun = Begun(
        plan=plan,
        arms=arms,
        untimed=untimed_arms(arms, measurements or []),
        equality=measurements,
        backend=backend,
        command=command_line(),
        load=load,
        since=now(),
        versions=versions_of(packages_of(plan.ports)),
        commit=commit_of_trigru(),
    )
    with shielded():
        path.unlink(missing_ok=True)
        return Journal.begin(path, begun)


def untimed_arms(
    arms: Sequence[Arm], measurements: Iterable[Measurement]
) -> list[Untimed]:
    """The arms that are not to be timed, with the reasons."""
    failed = {}
    for proof in proofs_of(measurements):
        failed[proof.port, proof.kernel] = proof.failed

    untimed = []
    for arm in arms:
        checks = _failed_checks(arm, failed)
        if checks:
            untimed.append(Untimed(arm, f"{NOT_PROVEN}: {', '.join(checks)}"))
    for arm in arms:
        if arm.style is None:
            untimed.append(Untimed(arm, unavailable(arm.port) or ""))
    return untimed


def _failed_checks(
    arm: Arm, failed: Mapping[tuple[str, str], tuple[str, ...]]
) -> tuple[str, ...]:
    """The names of the checks that an arm's port failed: first on the stock kernel."""
    for kernel in (STOCK, str(arm.kernel)):
        checks = failed.get((arm.port, kernel), ())
        if checks:
            return checks
    return ()


def time_arms(journal: Journal, *, quick: bool, keep_programs: bool) -> None:
    """Measure what is still to be measured."""
    programs = None
    folder = programs_folder() if keep_programs else None
    if folder is not None:
        programs = folder / "timed"
    with Progress("compare") as progress:
        run(journal, progress.add, quick=quick, programs=programs)
    journal.run.ended = Ended(datetime.now(UTC).isoformat(), load_average())


def _say_what_is_kept(journal: Journal) -> None:
    if journal.run.samples or journal.run.begun.equality:
        say(
            f"{_parts(journal)} are kept in {journal.path}, which `trigru report` "
            "reads. The same command continues it."
        )
    else:
        journal.discard()
        say("nothing was measured, and nothing written.")


def _parts(journal: Journal) -> str:
    """How much of a run is measured."""
    run = journal.run
    return f"{len(run.measured)} of {len(run.groups()) * run.plan.processes} parts"


def save_results(results: Results, journal: Journal, folder: Path) -> None:
    """Replace the results of the run before by these, which the journal has, too."""
    arms = [benchmark.arm for benchmark in results.benchmarks]
    try:
        save(results.trigru, arms, folder / FILE)
    except OSError:
        _say_what_is_kept(journal)
        raise
    journal.discard()


def save_page(results: Results, folder: Path) -> None:
    """Write the page of a run beside its results."""
    path = folder / PAGE
    try:
        write_page(path, answer_page(results))
    except OSError:
        say(
            f"The page {path} is not written: trigru report {folder} --output {folder} "
            "writes it."
        )
        raise

"""`trigru compare`: prove what is to be timed, time what is proven, then print the answer and write files."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import typer

from ...common.equality.checks import CHECKS, DTYPES
from ...common.errors import TrigruError
from ...common.gru.kernels import STOCK
from ...impls import unavailable
from ..analysis.benchmarks import Results
from ..analysis.merge import merge
from ..arms.arms import BASELINE, expand, packages_of
from ..processes.environment import shared_memory
from ..processes.interrupts import shielded
from ..processes.scratch import now
from ..proving.compiled_programs import programs_folder
from ..proving.prover import Prover
from ..reporting.answer import show_run
from ..reporting.console import Progress, say
from ..results.arm import NOT_PROVEN, Load, Plan, Untimed
from ..results.files import (
    FILE,
    PARTIAL,
    Journal,
    ResumeError,
    command_line,
    save,
)
from ..results.proof import proofs_of
from ..results.run import Begun, Ended
from ..timing.machine import (
    commit_of_trigru,
    load_average,
    versions_of,
)
from ..timing.supervisor import run
from .options import checks_of
from .report import PAGE, run_page, write_page
from .verify import Verified, verify_ports

#: Over which equality is checked, as by `trigru verify --devices`.
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
    """Prove what is to be timed, on every kernel, and time what is proven; then show the run and write its files.

    An unfinished run of the same plan in the folder is continued, with the proof that it has, or deleted (`fresh`).
    Without a prover nothing is proven, and with `quick` no more than what is timed.
    `load` is that of the machine before any of the command's own processes was started. The caller has claimed the
    folder and the machine. Exit code 1 if a check failed, or nothing has a number.
    """
    path = folder / PARTIAL
    verified = None
    show_it = partial(show_run, details=details, json=json)
    journal = (
        None
        if fresh
        else unfinished_run(path, plan, proven=prover is not None, quick=quick)
    )
    if journal is None and prover is not None:
        with prover:
            verified = _prove(plan, prover, quick=quick)
    try:
        if journal is None:
            begun = _begun(plan, verified, load)
            with shielded():
                path.unlink(missing_ok=True)
                journal = Journal.begin(path, begun)
        with Progress("compare") as progress:
            # beside the programs of proofs
            kept_in = None if prover is None else programs_folder()
            run(
                journal,
                progress.add,
                quick=quick,
                programs=kept_in and kept_in / "timed",
            )
    except (KeyboardInterrupt, TrigruError, OSError) as error:
        if isinstance(error, KeyboardInterrupt) and journal and journal.run.samples:
            show_it(merge(journal.run))
        if journal:
            say(what_is_left(journal))
        raise
    results = _finish(journal, folder, show_it)
    if not all(m.passed for m in results.trigru.begun.equality or ()):
        raise typer.Exit(1)


def unfinished_run(
    path: Path, plan: Plan, *, proven: bool, quick: bool
) -> Journal | None:
    """The unfinished run to continue, if any; raises a ResumeError if it is damaged, another, or not proven."""
    if not (path.exists() or path.is_symlink()):
        return None
    proof = Journal.read(path).run.begun.equality if proven else None
    if proven and proof is None:
        raise ResumeError(
            f"{path} is of a run with --no-proof: pass that to continue it, or --fresh to delete it."
        )
    checked = {measurement.check for measurement in proof or ()}
    if (
        proven
        and not quick
        and not {check.name for check in CHECKS if check.rows is None} <= checked
    ):
        raise ResumeError(
            f"{path} is of a first look, not proven in full: add --quick, or --fresh to delete it."
        )
    versions, commit = (
        versions_of(packages_of(plan.ports)),
        commit_of_trigru(),
    )
    with shielded():
        journal = Journal.resume(path, plan, versions, commit)
    say(
        f"continues a run of {journal.run.begun.since or '?'} UTC: {parts(journal)} are in {path}."
    )
    return journal


def parts(journal: Journal) -> str:
    """How much of a run is measured."""
    run = journal.run
    return f"{len(run.measured)} of {len(run.groups()) * run.plan.processes} parts"


def what_is_left(journal: Journal) -> str:
    """A sentence about the results that a run which ended early leaves."""
    if not journal.run.samples and not journal.run.begun.equality:
        journal.discard()
        return "nothing was measured, and nothing written."
    return f"{parts(journal)} are kept in {journal.path}, which `trigru report` reads. The same command continues it."


def _finish(
    journal: Journal, folder: Path, show_it: Callable[[Results], None]
) -> Results:
    """Show a run that is complete, and replace the files of the one before. Exits with 1 if nothing has a number."""
    journal.run.ended = Ended(datetime.now(UTC).isoformat(), load_average())
    results, file = merge(journal.run), folder / FILE
    if not results.benchmarks:
        show_it(results)
        say(f"no arm has a number: {folder} is as it was.")
        journal.discard()
        raise typer.Exit(1)
    with shielded():
        try:
            save(results.trigru, [b.arm for b in results.benchmarks], file)
        except OSError:
            say(what_is_left(journal))
            raise
        journal.discard()
        show_it(results)
        say(f"written: {file}")
        try:
            write_page(folder / PAGE, run_page(results))
        except OSError:
            say(
                f"The page {folder / PAGE} is not written: trigru report {folder} --output {folder} writes it."
            )
            raise
        say(f"all tables: trigru report {folder} --details; code: docs/call-styles.md")
    return results


def _prove(plan: Plan, prover: Prover, *, quick: bool) -> Verified:
    names = tuple(dict.fromkeys((BASELINE[0], *plan.ports)))
    kernels = tuple(dict.fromkeys((STOCK, *plan.kernels)))  # stock in every division
    scope = (("float64", plan.dtype), checks_of(plan)) if quick else (DTYPES, None)
    of_phase = (
        (*plan.styles, BASELINE[1]) if plan.styles else None
    )  # the baseline is always timed
    styles = dict.fromkeys(plan.phases, of_phase) if quick else None
    devices = min(max(plan.devices), MOST_DEVICES) if len(plan.devices) > 1 else None
    os.environ |= (
        variables := shared_memory()
    )  # of a GPU: the rest is left to the measuring processes
    try:
        return verify_ports(
            names, *scope, kernels, styles, devices=devices, prover=prover
        )
    finally:
        for name in variables:
            del os.environ[name]


def _begun(
    plan: Plan,
    verified: Verified | None,
    load: float | None,
) -> Begun:
    """The first line of a run's journal. An arm whose port is missing or not proven equal gets no number."""
    arms = expand(plan)
    equality = None if verified is None else verified.measurements
    backend = None if verified is None else verified.backend
    failed = {
        (proof.port, proof.kernel): proof.failed
        for proof in proofs_of(equality or [])
        if not proof.is_equal
    }
    checks = {
        arm.id: failed.get((arm.port, STOCK)) or failed.get((arm.port, str(arm.kernel)))
        for arm in arms
    }
    untimed = [
        Untimed(arm, f"{NOT_PROVEN}: {', '.join(names)}")
        for arm in arms
        if (names := checks[arm.id])
    ]
    untimed += [
        Untimed(arm, unavailable(arm.port) or "") for arm in arms if arm.style is None
    ]
    software = versions_of(packages_of(plan.ports)), commit_of_trigru()
    return Begun(
        plan, arms, untimed, equality, backend, command_line(), load, now(), *software
    )

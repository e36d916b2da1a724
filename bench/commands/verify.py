"""`trigru verify`: compare ports, planted faults and the frameworks' own parts with the oracle."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ...common.equality import verification
from ...common.equality.checks import DTYPES, ON_DEVICES, THOROUGH, Check, get_checks
from ...common.equality.contract.designs import coverage_of, triples_coverage_of
from ...common.equality.contract.drawing import drawing_row
from ...common.equality.contract.script import script_of
from ...common.equality.measurement import Measurement
from ...common.errors import InputError
from ...common.files import write_whole
from ...common.gru.kernels import STOCK, Kernel
from ...impls import faults, get_port, unavailable, upstream
from ..processes.cluster import Cluster
from ..proving.messages import Asked, Subject
from ..proving.prover import Proof, Prover
from ..proving.questions import expand, get_subject
from ..reporting.console import Progress, say, show
from ..reporting.equality import (
    departures_table,
    equality_json,
    equality_table,
    equality_tables,
    label,
    self_test_table,
)
from ..results.grouping import grouped
from ..timing.machine import versions_of
from .options import choose, read_checks, read_dtypes, read_kernels, read_ports

#: Where scripts of failed rows are written, and how many at most.
SCRIPTS, MOST_SCRIPTS = Path("verify-failures"), 8
#: Of a fault that shows with some levels, the self-test asks so many rows that have them.
ROWS_OF_A_FAULT = 4
#: For how long rows are drawn by default, and by one question, in seconds.
BUDGET_S, A_DRAWING_S = 300.0, 30.0


@dataclass(frozen=True)
class Thorough:
    """What is asked beside the usual: every triple of levels, rows of random sizes, and accuracy of large models.

    Args:
        budget_s: for how long rows are drawn, over all ports and processes; None for the default.
        seed: from which seed on; None for another one each time.
    """

    budget_s: float | None = None
    seed: int | None = None

    def rows(self, subjects: Sequence[Subject], processes: int) -> list[Asked]:
        """Questions that draw, side by side until the time is over."""
        seed = secrets.randbelow(10**6) if self.seed is None else self.seed
        budget_s = BUDGET_S if self.budget_s is None else self.budget_s
        each = max(1, round(budget_s * processes / len(subjects) / A_DRAWING_S))
        seconds = budget_s * processes / len(subjects) / each
        return [
            Asked(subject, "random", None, "float64", False, drawing_row(round(seconds, 1), seed + 1000 * number))
            for number in range(each)
            for subject in subjects
        ]


def verify_ports(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...] | None = None,
    kernels: Sequence[Kernel] = (Kernel(),),
    styles: Sequence[str] | None = None,
    *,
    thorough: Thorough | None = None,
    devices: int | None = None,
    prover: Prover,
) -> tuple[list[Measurement], dict[str, str]]:
    """Compare the available ports with the oracle, on each kernel that they offer. Also says why a port is missing.

    Args:
        devices: ask also with the batch spread over so many devices.
    """
    missing = _missing(names)
    subjects = _subjects(names, kernels, missing)
    if thorough is not None:
        checks = verification.usual_checks() + tuple(check for check in THOROUGH if not check.at_random)
    measurements = hold(subjects, dtypes, checks, styles, thorough=thorough, prover=prover)
    if devices is not None:
        with Prover(keep=prover.programs is not None, devices=devices) as other:
            measurements += hold(subjects, ("float64",), ON_DEVICES, prover=other)
    return measurements, missing


def _subjects(names: Sequence[str], kernels: Sequence[Kernel], missing: dict[str, str]) -> list[Subject]:
    """Each available port on each kernel that it offers."""
    return [
        Subject("port", name, None if kernel.is_stock else str(kernel))
        for kernel in kernels
        for name in names
        if name not in missing and kernel.name in get_port(name).kernels
    ]


def verify(
    names: list[str] | None,
    dtypes: list[str] | None,
    checks: list[str] | None,
    kernels: list[str] | None,
    *,
    json: bool,
    thorough: Thorough | None = None,
    devices: int | None = None,
    prover: Prover,
) -> None:
    """Compare ports with the oracle and print the measurements. Exit 1 if something failed."""
    ports = read_ports(names)
    measurements, missing = verify_ports(
        ports, read_dtypes(dtypes), read_checks(checks), read_kernels(kernels, ports),
        thorough=thorough, devices=devices, prover=prover,
    )  # fmt: skip
    _tell(measurements, missing, ports, json=json)
    failed = sum(not m.passed for m in measurements)
    _write_scripts(measurements)
    if failed:
        say(f"{failed} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    if not measurements:
        raise typer.BadParameter("nothing was measured: most checks run in float64 only (docs/equality.md).")
    unchecked = f" Not checked: {', '.join(missing)}." if missing else ""
    say(f"{len(measurements)} measurements, all within their bounds.{unchecked}")


def _tell(measurements: list[Measurement], missing: dict[str, str], ports: Sequence[str], *, json: bool) -> None:
    """Print measurements."""
    if json:
        packages = [package for name in ports if name not in missing for package in get_port(name).packages]
        typer.echo(equality_json(measurements, missing, versions_of(packages)))
    else:
        show(equality_tables(measurements))


def verify_together(
    names: list[str] | None, kernels: list[str] | None, cluster: Cluster, *, json: bool, devices: int | None
) -> None:
    """Ask, together with other hosts, what is asked of many devices. Host 0 prints. Exit 1 if something failed.

    Args:
        devices: of all hosts together, parts of a CPU each; None for what they have.
    """
    if devices is not None and devices % cluster.hosts:
        raise InputError(f"{cluster.hosts} hosts cannot have {devices} devices in equal parts.")
    ports = read_ports(names)
    missing = _missing(ports)
    subjects = _subjects(ports, read_kernels(kernels, ports), missing)
    own = None if devices is None else devices // cluster.hosts
    with Prover(keep=False, devices=own, cluster=cluster) as prover:
        measurements = hold(subjects, ("float64",), ON_DEVICES, prover=prover)
    if not cluster.host:
        _tell(measurements, missing, ports, json=json)
    say(f"host {cluster.host} of {cluster.hosts} has done its part.")
    if any(not m.passed for m in measurements):
        raise typer.Exit(1)


def _write_scripts(measurements: list[Measurement]) -> None:
    """A script for each kind of row that failed."""
    kinds: dict[tuple[str, str, str], Measurement] = {}
    for m in measurements:
        if m.levels is not None and not m.passed and m.offered:
            kinds.setdefault((m.port, m.kernel, m.check), m)
    for (port, kernel, check), failed in list(kinds.items())[:MOST_SCRIPTS]:
        name = f"{port}-{kernel}-{check}".replace("stock-", "").replace(" ", "-").replace("@", "-")
        path = SCRIPTS / f"{name}.py"
        write_whole(path, script_of(failed).encode())
        say(f"alone: python {path}")


def report_upstream(
    names: list[str] | None, dtypes: list[str] | None, checks: list[str] | None, *, json: bool, prover: Prover
) -> None:
    """Compare the frameworks' own parts with the oracle. Exit 1 if they do not differ as recorded."""
    chosen = choose("port with an upstream part", names, upstream.NAMES)
    missing = _missing(chosen)
    present = [name for name in chosen if name not in missing]
    asked = read_checks(checks) or tuple(check for check in verification.CHECKS if check.rows is None)
    measurements = hold([Subject("upstream", name) for name in present], read_dtypes(dtypes), asked, prover=prover)
    findings = [f for name in present for f in upstream.find_departures(name, measurements)]
    if json:
        packages = [package for name in present for package in upstream.get_upstream(name).PORT.packages]
        typer.echo(equality_json(measurements, missing, versions_of(packages), findings))
    else:
        show([equality_table(measurements, failures=False), departures_table(findings)])
    off_record = sum(finding.status != upstream.ON_RECORD for finding in findings)
    if off_record:
        say(f"{off_record} of {len(findings)} departures are not as on record.")
        raise typer.Exit(1)
    say(f"{len(findings)} departures, all on record.")


def report_self_test(*, prover: Prover) -> None:
    """Run the checks on the planted faults. Exit 1 if a fault goes unnoticed."""
    noticed, sound = hold_faults(prover=prover)
    show([self_test_table(noticed)])
    if not sound:
        say("the port without a fault failed, too: the above says nothing.")
    if not sound or not all(noticed.values()):
        raise typer.Exit(1)


def hold(
    subjects: list[Subject],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...] | None,
    styles: Sequence[str] | None = None,
    *,
    thorough: Thorough | None = None,
    prover: Prover,
) -> list[Measurement]:
    """As `trigru.common.verify`, in several processes where there is much to ask."""
    asked = expand(subjects, dtypes, verification.usual_checks() if checks is None else checks, styles)
    if thorough is not None and subjects:
        asked += thorough.rows(subjects, prover.processes)
    proof = _prove("verify", asked, prover=prover)
    answered = [(q, answer) for q, answer in zip(asked, proof.answers, strict=True) if q.row and q not in proof.died]
    for (subject, check), some in grouped(answered, lambda pair: (pair[0].subject, pair[0].check)).items():
        port = get_subject(subject)
        name = label(port.name, subject.kernel or STOCK)
        rows = [q.row for q, answer in some if q.row and all(m.offered and m.error is not None for m in answer)]
        if check == "random":
            for quantity in (m.quantity for _, answer in some for m in answer if m.check == check):
                say(f"{name}: {quantity}.")
            continue
        held, of = (coverage_of if check == "contract" else triples_coverage_of)(port, rows)
        what = "pairs and triples of levels" if check == "contract" else "triples of levels of any three factors"
        say(f"{name}: {len(rows)} programs cover {held} of {of} {what}.")
    return [measurement for answer in proof.answers for measurement in answer]


def hold_faults(*, prover: Prover) -> tuple[dict[str, list[str]], bool]:
    """The checks that notice each fault, by its name, and whether the port without a fault passes all of them.

    A fault meets the check that is there for it, and the others only if that one notices nothing. Those in a framework
    that is missing are left out.
    """
    missing = _missing(dict.fromkeys(fault.needs for fault in faults.FAULTS))
    present = [fault for fault in faults.FAULTS if fault.needs not in missing]
    own = [(Subject("fault", fault.name), get_checks(fault.check)) for fault in present]
    levels = {subject: fault.levels for (subject, _), fault in zip(own, present, strict=True)}
    sound = Subject("port", "pure")

    def failed(
        checks_of: Sequence[tuple[Subject, Sequence[Check]]], most: int | None = None
    ) -> dict[Subject, list[str]]:
        """The checks that each subject fails; of rows, at most so many are asked that have a fault's levels."""
        asked = []
        for subject, checks in checks_of:
            for check in checks:
                some = expand([subject], DTYPES, [check])
                if check.rows and most is not None and subject in levels:
                    some = [q for q in some if q.row and levels[subject].items() <= q.row.items()][:most]
                asked += some
        found: dict[Subject, list[str]] = {subject: [] for subject, _ in checks_of}
        proof = _prove("self-test", asked, prover=prover)
        for question, answer in zip(asked, proof.answers, strict=True):
            was_asked = question not in proof.died  # a death says nothing about the check
            if was_asked and not all(m.passed for m in answer) and question.check not in found[question.subject]:
                found[question.subject].append(question.check)
        return found

    noticed = failed([*own, (sound, verification.CHECKS)], ROWS_OF_A_FAULT)
    unnoticed = [
        (fault, [c for c in verification.CHECKS if c not in checks]) for fault, checks in own if not noticed[fault]
    ]
    noticed |= failed(unnoticed)
    return {fault.name: noticed[fault] for fault, _ in own}, not noticed[sound]


def _prove(what: str, asked: list[Asked], *, prover: Prover) -> Proof:
    """The answers to questions, under a progress bar. Says what was compiled."""
    if not asked:
        return Proof([], 0, 0, [])
    with Progress(what) as progress:
        proof = prover.prove(
            asked,
            lambda done, question: progress.to(
                done / len(asked),
                f"{what}: {done} of {len(asked)} done, {question.subject.name} {question.check} the last",
            ),
        )
    known = "" if prover.programs is None else f", {proof.reused} taken from {prover.programs}"
    say(f"{proof.compiled} programs compiled{known}")
    return proof


def _missing(names: Iterable[str]) -> dict[str, str]:
    """The ports that are not available, with the reasons, which are also said."""
    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    return missing

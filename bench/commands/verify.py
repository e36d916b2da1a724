"""`trigru verify`: compare ports, planted faults and the frameworks' own parts with the oracle."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import typer

from ...common.equality.checks import CHECKS, DTYPES, ON_DEVICES, Check, get_checks
from ...common.equality.contract.designs import coverage_of
from ...common.equality.contract.failures import script_of
from ...common.equality.measurement import Measurement
from ...common.equality.verification import verify as verify_equal
from ...common.files import write_whole
from ...common.gru.kernels import STOCK
from ...impls import faults, get_port, pure, upstream
from ..processes.hosts import check_same, join, quiet, read_hosts
from ..proving.prover import PortId, Prover, QuestionId
from ..proving.questions import OF_PARTS, by_subject, expand, get_subject
from ..reporting import equality as shown
from ..reporting.console import Progress, say, show
from ..reporting.equality import Departures, label
from ..reporting.findings import Finding, Format, written
from ..results.grouping import grouped
from ..timing.machine import versions_of
from .arguments import Names
from .options import choose, read_checks, read_kernels, read_ports, say_missing

#: Where scripts of failed rows are written, and how many at most.
SCRIPTS, MOST_SCRIPTS = Path("verify-failures"), 8
ROWS_OF_A_FAULT = (
    4  # so many rows with the levels of a fault are asked by the self-test
)


def verify(
    names: Names,
    dtypes: Names,
    checks: Names,
    kernels: Names,
    *,
    format: Format,
    devices: int | None,
    prover: Prover,
) -> None:
    """Compare ports with the oracle, as `verify_ports`, and print the measurements. Exit 1 if something failed."""
    ports = read_ports(names)
    measurements, missing = verify_ports(
        ports,
        choose("dtype", dtypes, DTYPES),
        read_checks(checks),
        read_kernels(kernels, ports),
        devices=devices,
        prover=prover,
    )
    _print(measurements, missing, ports, format)
    _write_scripts(measurements)
    if failed := sum(not m.passed for m in measurements):
        say(f"{failed} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    _require_some(measurements)
    unchecked = f" Not checked: {', '.join(missing)}." if missing else ""
    say(f"{len(measurements)} measurements, all within their bounds.{unchecked}")


def _require_some(measurements: Sequence[Measurement]) -> None:
    if not measurements:
        raise typer.BadParameter(
            "nothing was measured: most checks are in float64 only (docs/equality.md)."
        )


def verify_ports(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...] | None = None,
    kernels: Sequence[str] = (STOCK,),
    styles: Mapping[str, Sequence[str] | None] | None = None,
    *,
    devices: int | None = None,
    prover: Prover,
) -> tuple[list[Measurement], dict[str, str]]:
    """Compare the available ports with the oracle, on each kernel that they offer.

    Also with the batch spread over so many devices; and says why a port is missing.
    """
    missing = say_missing(names)
    subjects = _subjects(names, kernels, missing)
    questions = expand(subjects, dtypes, CHECKS if checks is None else checks, styles)
    measurements = by_subject(subjects, questions, _prove(questions, prover=prover))
    if devices is not None:
        with Prover(devices=devices) as other:
            measurements += _prove(
                expand(subjects, ("float64",), ON_DEVICES), prover=other
            )
    return measurements, missing


def verify_together(
    names: Names, kernels: Names, where: str, *, format: Format, devices: int | None
) -> None:
    """Check so many devices of all hosts together, or what they have; host 0 prints. Exit 1 if something failed."""
    ports = read_ports(names)
    join(read_hosts(where), devices)
    import jax

    missing = say_missing(ports)
    subjects = _subjects(ports, read_kernels(kernels, ports), missing)
    with quiet():
        check_same(jax.__version__, *map(_label, subjects))
        measurements = verify_equal(
            [*map(get_subject, subjects)], dtypes=("float64",), checks=ON_DEVICES
        )
    if not jax.process_index():
        _print(measurements, missing, ports, format)
    say(f"host {jax.process_index()} of {jax.process_count()} has done its part.")
    if any(not m.passed for m in measurements):
        raise typer.Exit(1)
    _require_some(measurements)


def report_upstream(
    names: Names, dtypes: Names, checks: Names, *, format: Format, prover: Prover
) -> None:
    """Compare the frameworks' own parts with the oracle. Exit 1 if they do not differ as recorded."""
    chosen = choose("port with an upstream part", names, upstream.NAMES)
    missing = say_missing(chosen)
    present = [name for name in chosen if name not in missing]
    chosen_checks = read_checks(checks)
    recorded = {check.name for check in OF_PARTS}.union(
        *(departure.checks for departure in upstream.DEPARTURES)
    )
    if others := [
        check.name for check in chosen_checks or () if check.name not in recorded
    ]:
        raise typer.BadParameter(
            f"the record of --upstream does not have the check {', '.join(others)}."
        )
    subjects, some = (
        [PortId("upstream", name) for name in present],
        choose("dtype", dtypes, DTYPES),
    )
    measurements = _prove(
        expand(subjects, some, chosen_checks or OF_PARTS), prover=prover
    )
    departures = [
        d for name in present for d in upstream.find_departures(name, measurements)
    ]
    _print(measurements, missing, chosen, format, departures)
    _require_some(measurements)
    if off_record := sum(
        departure.status != upstream.ON_RECORD for departure in departures
    ):
        say(f"{off_record} of {len(departures)} departures are not as on record.")
        raise typer.Exit(1)
    say(f"{len(departures)} departures, all on record.")


def report_self_test(*, prover: Prover) -> None:
    """Run the checks on the planted faults. Exit 1 if a fault goes unnoticed.

    A fault is asked by the check that is there for it: of rows, by some of the design that have its levels. The port
    without a fault has to pass the same questions.
    """
    asked: list[QuestionId] = []
    for fault in faults.FAULTS:
        some = expand([PortId("fault", fault.name)], DTYPES, get_checks(fault.check))
        asked += [
            q for q in some if q.row is None or fault.levels.items() <= q.row.items()
        ][:ROWS_OF_A_FAULT]
    sound: list[QuestionId] = []
    for question in asked:
        plain = msgspec.structs.replace(
            question, subject=PortId("port", pure.PORT.name)
        )
        if plain not in sound:
            sound.append(plain)
    measurements = _prove(asked + sound, "self-test", prover=prover)
    failed = [
        q
        for q, m in zip(asked, measurements, strict=False)
        if m.offered and not m.passed
    ]
    noticed = {
        q.subject.name for q in failed if q not in prover.died
    }  # a death says nothing of the check
    show([shown.self_test_table(noticed)])
    if not (is_sound := all(m.passed for m in measurements[len(asked) :])):
        say("the port without a fault failed, too: the above says nothing.")
    if not is_sound or len(noticed) < len(faults.FAULTS):
        raise typer.Exit(1)


def _subjects(
    names: Sequence[str], kernels: Sequence[str], missing: Mapping[str, str]
) -> list[PortId]:
    return [
        PortId("port", name, None if kernel == STOCK else kernel)
        for kernel in kernels
        for name in names
        if name not in missing and kernel in get_port(name).kernels
    ]


def _label(subject: PortId) -> str:
    return label(subject.name, subject.kernel)


def _prove(
    asked: list[QuestionId], what: str = "verify", *, prover: Prover
) -> list[Measurement]:
    """The measurements of questions; says how many pairs and triples of levels the rows of each subject cover."""
    if not asked:
        return []
    with Progress(what) as progress:

        def show_progress(done: int, question: QuestionId) -> None:
            last = f"{question.subject.name} {question.check} the last"
            progress.to(
                done / len(asked), f"{what}: {done} of {len(asked)} done, {last}"
            )

        measurements = prover.prove(asked, show_progress)
    known = (
        ""
        if prover.programs is None
        else f", {prover.reused} taken from {prover.programs}"
    )
    say(f"{prover.compiled} programs compiled{known}")
    answered = [
        q
        for q, m in zip(asked, measurements, strict=True)
        if m.error is not None and q not in prover.died
    ]
    for subject, some in grouped(
        answered, lambda question: _label(question.subject)
    ).items():
        if rows := [q.row for q in some if q.row and q.check == "contract"]:
            covered, of = coverage_of(rows)
            say(
                f"{subject}: {len(rows)} rows cover {covered} of {of} pairs and triples of levels."
            )
    return measurements


def _print(
    measured: list[Measurement],
    missing: dict[str, str],
    ports: Sequence[str],
    format: Format,
    seen: Departures = None,
) -> None:
    """Print measurements; of the frameworks' own parts, also the departures that these show."""
    if format == "json":
        packages = [
            package
            for name in ports
            if name not in missing
            for package in get_port(name).packages
        ]
        typer.echo(shown.equality_json(measured, missing, versions_of(packages), seen))
    elif format != "text":
        head = [
            f"{len(measured)} measurements.",
            *(f"Not checked: {name}: {why}" for name, why in missing.items()),
        ]
        failed = [m for m in measured if not m.passed]
        findings = [
            Finding(m.check, label(m.port, m.kernel), str(m), True, m.place or "")
            for m in failed
        ]
        for key, some in grouped(
            measured, lambda m: (m.check, label(m.port, m.kernel))
        ).items():
            if all(m.passed for m in some):
                findings.append(
                    Finding(*key, f"{len(some)} within their bounds", False)
                )
        if seen is not None:
            findings = [
                Finding(d.status, d.part, d.what, d.status != upstream.ON_RECORD)
                for d in seen
            ]
        typer.echo(written(format, "trigru verify", head, findings))
    elif seen is None:
        show(shown.equality_tables(measured))
    else:
        show(
            [
                shown.equality_table(measured, failures=False),
                shown.departures_table(seen),
            ]
        )


def _write_scripts(measurements: list[Measurement]) -> None:
    failed = [
        m for m in measurements if m.levels is not None and not m.passed and m.offered
    ]
    for key, alike in list(
        grouped(failed, lambda m: (m.port, m.kernel, m.check)).items()
    )[:MOST_SCRIPTS]:
        name = "-".join(key).replace("stock-", "").replace(" ", "-").replace("@", "-")
        path = SCRIPTS / f"{name}.py"
        write_whole(path, script_of(alike[0]).encode())
        say(f"alone: python {path}")

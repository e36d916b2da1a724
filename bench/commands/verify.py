"""`trigru verify`: compare ports with the NumPy oracle, and print what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ...common.equality.checks import DTYPES, ON_DEVICES, Check
from ...common.equality.contract.failures import script_of
from ...common.equality.measurement import Measurement
from ...common.equality.verification import verify as verify_equal
from ...common.files import write_whole
from ...common.gru.kernels import STOCK
from ...impls import get_port
from ..processes.hosts import check_same, join, quiet, read_hosts
from ..proving.compiled_programs import programs_folder
from ..proving.messages import PortId, QuestionId
from ..proving.prover import Proven, Prover
from ..proving.questions import by_subject, expand, get_subject
from ..reporting.console import Progress, say, show
from ..reporting.equality import equality_json, equality_tables, label
from ..reporting.findings import Finding, Format, written
from ..results.grouping import grouped
from ..timing.machine import versions_of
from .arguments import Names
from .options import choose, read_checks, read_kernels, read_ports, say_missing

#: The folder of the scripts of rows that failed.
SCRIPTS = Path("verify-failures")
#: At most so many scripts are written.
MOST_SCRIPTS = 8


@dataclass(frozen=True)
class Verified:
    """What was measured of ports.

    Attributes:
        measurements: those of the first port first.
        missing: the ports that are not available, with the reasons.
        backend: the platform on which was measured; None if nothing was.
    """

    measurements: list[Measurement]
    missing: dict[str, str]
    backend: str | None


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
    """Compare ports with the oracle, and print the measurements.

    Exits with 1 if something failed, and with 2 if nothing was measured.
    """
    ports = read_ports(names)
    verified = verify_ports(
        ports,
        choose("dtype", dtypes, DTYPES),
        read_checks(checks),
        read_kernels(kernels, ports),
        devices=devices,
        prover=prover,
    )
    measurements = verified.measurements
    _print(measurements, verified.missing, ports, format)
    _write_scripts(measurements)
    failed = [measurement for measurement in measurements if not measurement.passed]
    if failed:
        say(f"{len(failed)} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    _require_some(measurements)
    sentence = f"{len(measurements)} measurements, all within their bounds."
    if verified.missing:
        sentence += f" Not checked: {', '.join(verified.missing)}."
    say(sentence)


def verify_ports(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...],
    kernels: Sequence[str] = (STOCK,),
    styles: Mapping[str, Sequence[str] | None] | None = None,
    *,
    devices: int | None = None,
    prover: Prover,
) -> Verified:
    """Compare ports with the oracle, on each kernel that they offer.

    Says why a port is missing.

    Args:
        names: of the ports.
        dtypes: of the computation.
        checks: to make.
        kernels: by name.
        styles: as `expand` takes them.
        devices: over how many the batch is spread, too; None for no such checks.
        prover: of all but what needs these devices.
    """
    missing = say_missing(names)
    subjects = _subjects(names, kernels, missing)
    questions = expand(subjects, dtypes, checks, styles)
    proven = _prove(questions, prover)
    measurements = by_subject(subjects, questions, proven.measurements)
    if devices is not None:
        with Prover(devices=devices) as on_devices:
            spread = _prove(expand(subjects, ("float64",), ON_DEVICES), on_devices)
        measurements += spread.measurements
    return Verified(measurements, missing, proven.backend)


def verify_together(
    names: Names, kernels: Names, where: str, *, format: Format, devices: int | None
) -> None:
    """Check many devices of all hosts together; the first host prints.

    Exits with 1 if something failed, and with 2 if nothing was measured.
    """
    ports = read_ports(names)
    join(read_hosts(where), devices)
    import jax

    missing = say_missing(ports)
    subjects = _subjects(ports, read_kernels(kernels, ports), missing)
    with quiet():
        check_same(jax.__version__, *map(_label, subjects))
        measurements = verify_equal(
            [get_subject(subject) for subject in subjects],
            dtypes=("float64",),
            checks=ON_DEVICES,
        )
    if jax.process_index() == 0:
        _print(measurements, missing, ports, format)
    say(f"host {jax.process_index()} of {jax.process_count()} has done its part.")
    if not all(measurement.passed for measurement in measurements):
        raise typer.Exit(1)
    _require_some(measurements)


def _require_some(measurements: Sequence[Measurement]) -> None:
    if not measurements:
        raise typer.BadParameter(
            "nothing was measured: most checks are in float64 only (docs/equality.md)."
        )


def _subjects(
    names: Sequence[str], kernels: Sequence[str], missing: Mapping[str, str]
) -> list[PortId]:
    """The ports that are here, on each kernel that they offer."""
    subjects = []
    for kernel in kernels:
        for name in names:
            if name not in missing and kernel in get_port(name).kernels:
                subjects.append(PortId(name, None if kernel == STOCK else kernel))
    return subjects


def _label(subject: PortId) -> str:
    return label(subject.name, subject.kernel)


def _prove(questions: list[QuestionId], prover: Prover) -> Proven:
    """Answer questions under a progress bar, and say what was compiled."""
    if not questions:
        return Proven([], [], compiled=0, reused=0, backend=None)
    with Progress("verify") as progress:

        def show_progress(done: int, question: QuestionId) -> None:
            last = f"{question.subject.name} {question.check} the last"
            sentence = f"verify: {done} of {len(questions)} done, {last}"
            progress.to(done / len(questions), sentence)

        proven = prover.prove(questions, show_progress)

    folder = programs_folder()
    sentence = f"{proven.compiled} programs compiled"
    if folder is not None:
        sentence += f", {proven.reused} taken from {folder}"
    say(sentence)
    return proven


def _print(
    measurements: list[Measurement],
    missing: dict[str, str],
    ports: Sequence[str],
    format: Format,
) -> None:
    if format == "text":
        show(equality_tables(measurements))
    elif format == "json":
        packages = []
        for name in ports:
            if name not in missing:
                packages.extend(get_port(name).packages)
        typer.echo(equality_json(measurements, missing, versions_of(packages)))
    else:
        head = [f"{len(measurements)} measurements."]
        for name, reason in missing.items():
            head.append(f"Not checked: {name}: {reason}")
        typer.echo(written(format, "trigru verify", head, _findings(measurements)))


def _findings(measurements: list[Measurement]) -> list[Finding]:
    """Each measurement that failed, then what passed, by check and port."""
    findings = []
    for m in measurements:
        if not m.passed:
            subject = label(m.port, m.kernel)
            findings.append(Finding(m.check, subject, str(m), True, m.place or ""))

    def check_and_port(m: Measurement) -> tuple[str, str]:
        return m.check, label(m.port, m.kernel)

    for (check, subject), alike in grouped(measurements, check_and_port).items():
        if all(m.passed for m in alike):
            text = f"{len(alike)} within their bounds"
            findings.append(Finding(check, subject, text, False))
    return findings


def _write_scripts(measurements: list[Measurement]) -> None:
    """Write a script that runs a row alone, for each check of a port that failed."""
    failed = []
    for m in measurements:
        if m.levels is not None and m.offered and not m.passed:
            failed.append(m)

    by_name = grouped(failed, _script_name)
    for name in list(by_name)[:MOST_SCRIPTS]:
        path = SCRIPTS / name
        write_whole(path, script_of(by_name[name][0]).encode())
        say(f"alone: python {path}")


def _script_name(m: Measurement) -> str:
    words = [m.port, m.check] if m.kernel == STOCK else [m.port, m.kernel, m.check]
    return "-".join(words).replace(" ", "-").replace("@", "-") + ".py"

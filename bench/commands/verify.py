"""`trigru verify`: compare ports, planted faults and the frameworks' own parts with the oracle."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import jax
import typer
from jax.experimental.compilation_cache import compilation_cache

from ...common.equality import verification
from ...common.equality.checks import Check
from ...common.equality.verification import Measurement
from ...common.gru.kernels import Kernel
from ...common.port.protocol import Port, WithKernel
from ...impls import faults, get_port, unavailable, upstream
from ..reporting.console import Progress, nothing_if_interrupted, say, show
from ..reporting.equality import departures_table, equality_json, equality_table, equality_tables, self_test_table
from ..timing.machine import versions_of
from .options import choose, read_checks, read_dtypes, read_kernels, read_ports


def verify_ports(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...] | None = None,
    kernels: Sequence[Kernel] = (Kernel(),),
) -> tuple[list[Measurement], dict[str, str]]:
    """Compare the available ports with the oracle, on each kernel that they offer. Also says why a port is missing."""
    missing = _missing(names)
    present = [get_port(name) for name in names if name not in missing]
    on_kernels: list[Port] = [
        port if kernel.is_stock else WithKernel(port, str(kernel))
        for kernel in kernels
        for port in present
        if kernel.name in port.kernels
    ]
    return hold(on_kernels, dtypes, checks), missing


def verify(
    names: list[str] | None,
    dtypes: list[str] | None,
    checks: list[str] | None,
    kernels: list[str] | None,
    *,
    json: bool,
) -> None:
    """Compare ports with the oracle and print the measurements. Exit 1 if something failed."""
    ports = read_ports(names)
    measurements, missing = verify_ports(ports, read_dtypes(dtypes), read_checks(checks), read_kernels(kernels, ports))
    if json:
        packages = [package for name in ports if name not in missing for package in get_port(name).packages]
        typer.echo(equality_json(measurements, missing, versions_of(packages)))
    else:
        show(equality_tables(measurements))
    failed = sum(not m.passed for m in measurements)
    if failed:
        say(f"{failed} of {len(measurements)} measurements failed.")
        raise typer.Exit(1)
    if not measurements:
        raise typer.BadParameter("nothing was measured: most checks run in float64 only (docs/equality.md).")
    unchecked = f" Not checked: {', '.join(missing)}." if missing else ""
    say(f"{len(measurements)} measurements, all within their bounds.{unchecked}")


def report_upstream(names: list[str] | None, dtypes: list[str] | None, checks: list[str] | None, *, json: bool) -> None:
    """Compare the frameworks' own parts with the oracle. Exit 1 if they do not differ as recorded."""
    chosen = choose("port with an upstream part", names, upstream.NAMES)
    missing = _missing(chosen)
    present = [name for name in chosen if name not in missing]
    ports = [upstream.get_upstream(name).PORT for name in present]
    measurements = hold(ports, read_dtypes(dtypes), read_checks(checks))
    findings = [f for name in present for f in upstream.find_departures(name, measurements)]
    if json:
        packages = [package for port in ports for package in port.packages]
        typer.echo(equality_json(measurements, missing, versions_of(packages), findings))
    else:
        show([equality_table(measurements, failures=False), departures_table(findings)])
    off_record = sum(finding.status != upstream.ON_RECORD for finding in findings)
    if off_record:
        say(f"{off_record} of {len(findings)} departures are not as on record.")
        raise typer.Exit(1)
    say(f"{len(findings)} departures, all on record.")


def report_self_test() -> None:
    """Run the checks on the planted faults. Exit 1 if a fault goes unnoticed."""
    noticed, sound = hold_faults()
    show([self_test_table(noticed)])
    if not sound:
        say("the port without a fault failed, too: the above says nothing.")
    if not sound or not all(noticed.values()):
        raise typer.Exit(1)


def hold(ports: list[Port], dtypes: tuple[str, ...], checks: tuple[Check, ...] | None = None) -> list[Measurement]:
    """As `trigru.common.verify`."""
    with nothing_if_interrupted(), Progress("verify") as progress:
        return verification.verify(
            ports,
            dtypes=dtypes,
            checks=checks,
            progress=lambda done, total, what: progress.to(done / total, f"verify {what}"),
        )


def hold_faults() -> tuple[dict[str, list[str]], bool]:
    """The checks that notice each fault, by its name, and whether the port without a fault passes all of them.

    A fault meets the check that is there for it, and the others only if that one notices nothing.
    """
    noticed: dict[str, list[str]] = {}
    with nothing_if_interrupted(), _compiled_once(), Progress("self-test") as progress:
        for number, fault in enumerate(faults.FAULTS):
            progress.to(number / len(faults.FAULTS), f"self-test {fault.name}")
            own = [check for check in verification.CHECKS if check.name == fault.check]
            noticed[fault.name] = _noticed_by(fault.port, own) or _noticed_by(
                fault.port, [check for check in verification.CHECKS if check not in own]
            )
        return noticed, all(m.passed for m in verification.verify([get_port("pure")]))


def _missing(names: Iterable[str]) -> dict[str, str]:
    """The ports that are not available, with the reasons, which are also said."""
    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    return missing


def _noticed_by(port: Port, checks: Sequence[Check]) -> list[str]:
    found = verification.verify([port], checks=checks)
    return list(dict.fromkeys(m.check for m in found if not m.passed))


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Share compiled programs between faults, since most are the same; compile without most optimisations."""
    with TemporaryDirectory(prefix="trigru-") as folder:
        ours = {
            "jax_disable_most_optimizations": True,
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {name: jax.config.values[name] for name in ours}
        try:
            for name, value in ours.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()

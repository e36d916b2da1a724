"""The work of `trigru verify`: ports and faults held to the oracle, under a progress bar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import jax
import typer
from jax.experimental.compilation_cache import compilation_cache

from ...common.equality import verification as equivalence
from ...common.equality.checks import Check
from ...common.equality.verification import Measurement
from ...common.errors import UnknownNameError
from ...common.gru.kernels import STOCK, parse_kernel
from ...common.port.protocol import Port, WithKernel
from ...impls import faults as faults
from ...impls import get_port, unavailable, upstream
from ..reporting.console import Progress, nothing_if_interrupted, say, show
from ..reporting.equality import departures_table, equality_table, self_test_table
from ..reporting.sections import Section
from ..results.record import equality_json

__all__ = ["hold", "hold_faults", "report_self_test", "report_upstream", "tables_by_kernel", "verify_ports"]


def verify_ports(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[Check, ...] | None = None,
    kernels: Sequence[str] = (STOCK,),
) -> tuple[list[Measurement], dict[str, str]]:
    """Hold the ports that are available to the oracle, on each kernel that they offer.

    Returns:
        What was measured, a kernel other than the stock one named as in "linen:fused", and why ports are missing.
    """
    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    present = [get_port(name) for name in names if name not in missing]
    on_kernels: list[Port] = [
        port if kernel == STOCK else WithKernel(port, kernel)
        for kernel in kernels
        for port in present
        if parse_kernel(kernel).name in port.kernels
    ]
    return hold(on_kernels, dtypes, checks), missing


def tables_by_kernel(measurements: list[Measurement]) -> list[Section]:
    """A table of equality for each kernel."""
    kernels = dict.fromkeys(m.kernel for m in measurements)
    return [equality_table([m for m in measurements if m.kernel == kernel]) for kernel in kernels]


def report_upstream(
    names: list[str] | None, dtypes: tuple[str, ...], checks: tuple[Check, ...] | None, *, json: bool
) -> None:
    """Hold the frameworks' own parts to the oracle; exit 1 where they are not as on record."""
    for name in names or ():
        if name not in upstream.NAMES:
            raise UnknownNameError("port with an upstream part", name, list(upstream.NAMES))
    missing = {name: reason for name in names or upstream.NAMES if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    present = [name for name in names or upstream.NAMES if name not in missing]
    measurements = hold([upstream.get_upstream(name).PORT for name in present], dtypes, checks)
    findings = [f for name in present for f in upstream.find_departures(name, measurements)]
    if json:
        packages = [package for name in present for package in upstream.get_upstream(name).PORT.packages]
        typer.echo(equality_json(measurements, missing, packages, findings))
    else:
        show([equality_table(measurements, failures=False), departures_table(findings)])
    off_record = sum(finding.status != upstream.ON_RECORD for finding in findings)
    if off_record:
        say(f"{off_record} of {len(findings)} departures are not as on record.")
        raise typer.Exit(1)
    say(f"{len(findings)} departures, all on record.")


def report_self_test(*, every_check: bool = False) -> None:
    """Hold the faults to the oracle; exit 1 where one goes unnoticed."""
    noticed, sound = hold_faults(every_check=every_check)
    show([self_test_table(noticed, every_check=every_check)])
    if not sound:
        say("the port without a fault failed, too: the above says nothing.")
    if not sound or not all(noticed.values()):
        raise typer.Exit(1)


def hold(ports: list[Port], dtypes: tuple[str, ...], checks: tuple[Check, ...] | None = None) -> list[Measurement]:
    """As `trigru.common.equality.verification.verify`."""
    with nothing_if_interrupted(), Progress("verify") as progress:
        return equivalence.verify(
            ports,
            dtypes=dtypes,
            checks=checks,
            progress=lambda done, total, what: progress.to(done / total, f"verify {what}"),
        )


def hold_faults(*, every_check: bool = False) -> tuple[dict[str, list[str]], bool]:
    """The checks that notice each mutant, by its name, and whether the port without a fault passes all of them.

    Args:
        every_check: ask all of them, and not just the one that is there for the fault, the others where it fails to
            notice.
    """
    noticed: dict[str, list[str]] = {}
    with nothing_if_interrupted(), _compiled_once(), Progress("self-test") as progress:
        for number, mutant in enumerate(faults.FAULTS):
            progress.to(number / len(faults.FAULTS), f"self-test {mutant.name}")
            own = [check for check in equivalence.CHECKS if check.name == mutant.check and not every_check]
            noticed[mutant.name] = _noticed_by(mutant.port, own) or _noticed_by(
                mutant.port, [check for check in equivalence.CHECKS if check not in own]
            )
        return noticed, all(m.passed for m in equivalence.verify([get_port("pure")]))


def _noticed_by(port: Port, checks: Sequence[Check]) -> list[str]:
    found = equivalence.verify([port], checks=checks)
    return list(dict.fromkeys(m.check for m in found if not m.passed))


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Most of a mutant's programs are those of the others, too: look them up. None is run for its speed."""
    with TemporaryDirectory(prefix="trigru-") as folder:
        ours = {
            "jax_disable_most_optimizations": True,
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {name: _configured(name) for name in ours}
        try:
            _configure(ours)
            compilation_cache.reset_cache()
            yield
        finally:
            _configure(before)
            compilation_cache.reset_cache()


def _configured(name: str) -> Any:
    """JAX keeps some options as attributes, others to be read."""
    return getattr(jax.config, name) if hasattr(jax.config, name) else jax.config.read(name)


def _configure(values: dict[str, Any]) -> None:
    for name, value in values.items():
        jax.config.update(name, value)

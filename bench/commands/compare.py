"""`trigru compare`: verify, then time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from ...common.equality.verification import Measurement
from ...common.gru.kernels import STOCK, Kernel
from ..analysis.equality import proofs_of
from ..arms.arms import BASELINE
from ..arms.plan import expand
from ..reporting.console import show
from ..reporting.equality import equality_tables
from ..results.record import Arm, Plan, Untimed
from ..timing.journal import PARTIAL, check_resumable
from ..timing.machine import load_average
from .bench import benchmark
from .options import read_dtypes
from .verify import verify_ports


def compare(plan: Plan, folder: Path, *, resume: bool) -> None:
    """Verify the ports on every kernel that is to be timed, then time those that are proven equal.

    Raises:
        typer.Exit: with 1 if something is not proven equal.
    """
    if resume:
        check_resumable(folder / PARTIAL, plan)
    load_before = load_average()
    with _no_memory_kept():
        import jax

        names = tuple(dict.fromkeys((BASELINE[0], *plan.ports)))
        kernels = [Kernel(), *(kernel for kernel in plan.kernels if not kernel.is_stock)]  # every division has stock
        measurements, _ = verify_ports(names, read_dtypes(None), kernels=kernels)
        backend = jax.default_backend()
    show(equality_tables(measurements))
    benchmark(
        plan,
        folder,
        resume=resume,
        load_before=load_before,
        equality=measurements,
        backend=backend,
        unproven=unproven_arms(expand(plan), measurements),
    )
    if not all(m.passed for m in measurements):
        raise typer.Exit(1)


def unproven_arms(arms: list[Arm], measurements: list[Measurement]) -> list[Untimed]:
    """Arms whose port, on their kernel or on the stock cell, is not proven equal."""
    failed = {(proof.port, proof.kernel): proof.failed for proof in proofs_of(measurements) if not proof.is_equal}
    found = []
    for arm in arms:
        checks = failed.get((arm.port, STOCK)) or failed.get((arm.port, str(arm.kernel)))
        if checks:
            found.append(Untimed(arm, f"not proven equal: {', '.join(checks)}"))
    return found


@contextmanager
def _no_memory_kept() -> Iterator[None]:
    """On a GPU, take only the memory that is needed, and leave the rest to the measuring processes."""
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    ours = name not in os.environ
    if ours:
        os.environ[name] = "false"
    try:
        yield
    finally:
        if ours:
            del os.environ[name]

"""`trigru compare`: verify, then time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from ...common.gru.kernels import STOCK
from ..arms.arms import BASELINE
from ..proving.prover import Prover
from ..results.arm import Plan
from ..timing.journal import PARTIAL, Journal, ResumeError
from ..timing.machine import load_average
from .bench import benchmark, refuse_unfinished
from .claims import Unfinished
from .options import checks_of, read_dtypes
from .verify import verify_ports


def compare(
    plan: Plan,
    folder: Path,
    unfinished: Unfinished,
    *,
    prover: Prover,
    quick: bool = False,
    anew: bool = False,
    details: bool = False,
    json: bool = False,
) -> None:
    """Prove what is to be timed, on every kernel, and time what is proven. A run that is resumed has its proof.

    Args:
        quick: prove no more than that: its phases, call styles and dtype.
        anew: take no proof that is kept.
        details, json: see `trigru.bench.commands.report.show_run`.
    """
    refuse_unfinished(folder, unfinished)
    if unfinished == "resume":
        if (folder / PARTIAL).exists() and Journal.read(folder / PARTIAL).begun.equality is None:
            raise ResumeError(f"{folder / PARTIAL}: nothing was proven in it, since it is of `trigru bench`.")
        results = benchmark(plan, folder, unfinished, details=details, json=json)
    else:
        load_before = load_average()
        with _no_memory_kept():
            names = tuple(dict.fromkeys((BASELINE[0], *plan.ports)))
            kernels = [STOCK, *(kernel for kernel in plan.kernels if kernel != STOCK)]  # stock in every division
            asked = (("float64", plan.dtype), checks_of(plan)) if quick else (read_dtypes(None), None)
            of_phase = (*plan.styles, BASELINE[1]) if plan.styles else None  # the baseline is always timed
            styles = dict.fromkeys(plan.phases, of_phase) if quick else None
            measurements, _ = verify_ports(names, *asked, kernels, styles, prover=prover, anew=anew)
            backend = prover.backend
        results = benchmark(
            plan, folder, unfinished,
            load_before=load_before, equality=measurements, backend=backend, details=details, json=json,
        )  # fmt: skip
    if not all(m.passed for m in results.trigru.equality or ()):
        raise typer.Exit(1)


@contextmanager
def _no_memory_kept() -> Iterator[None]:
    """On a GPU, take only the memory that is needed, and leave the rest to the measuring processes."""
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    if name in os.environ:
        yield
        return
    os.environ[name] = "false"
    try:
        yield
    finally:
        del os.environ[name]

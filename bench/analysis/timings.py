"""The tidy table of some runs: a row for each arm."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..results.arm import Arm
from .answer import remarks
from .benchmarks import Benchmark, Results
from .comparison import Verdict
from .merge import baseline_of
from .pairs import Cause, difference, reference_of


class Timing(Struct, frozen=True, kw_only=True):
    """A row. Numbers are None where there are none."""

    file: int  # the number of the run among those that were named, from 1
    workload: str  # the sizes and data, by their name
    phase: str  # what a call computes
    dtype: str  # the dtype of the computation
    division: str  # the kernels that were measured in the same rounds
    port: str  # the framework
    style: str | None  # the call style; empty where the framework is not installed
    labels: str  # what the call style is: "documented" or "functional", for example
    kernel: str  # how the sequence is run: "stock" or "fused"
    devices: int  # over how many the batch is spread
    arm: str  # the framework with the name of its call style
    time_s: float | None = None  # seconds of a call: plain JAX's, times the ratio to it
    time_low_s: float | None = None  # the lower quartile of the rounds, in seconds
    time_high_s: float | None = None  # the upper quartile of the rounds, in seconds
    ratio: float | None = None  # the time over plain JAX's
    low: float | None = None  # the lower end of the ratio's 95 % interval
    high: float | None = None  # the upper end of the ratio's 95 % interval
    #: Whether it is "slower", "faster" or "indistinguishable". Empty for plain JAX.
    verdict: Verdict | None = None
    #: Why it takes another time than plain JAX, or than its framework's functional
    #: style.
    cause: Cause | None = None
    #: How many matrix products the compiled program has. Empty where the program could
    #: not be read; so are the next three.
    dots: int | None = None
    whiles: int | None = None  # how many loops it has
    fusions: int | None = None  # how many fused operations it has
    transposes: int | None = None  # how many transposes it has
    remark: str = ""  # what to heed, or why there is no number
    date: str  # when the run ended
    device: str  # on what it was measured
    backend: str  # the platform of that, as JAX calls it
    threads: int  # how many the processes could use
    versions: str  # of Python and the packages


def timings(runs: Sequence[Results]) -> list[Timing]:
    """The rows of some runs, those of a group together; then arms without a number.

    What stands in the rows of a group was measured in the same rounds. Rows of
    different runs are not compared.
    """
    rows = []
    for number, run in enumerate(runs, 1):
        for group in run.groups().values():
            for b in group:
                if b.arm.role != "duplicate":
                    rows.append(_with_numbers(_blank(number, run, b.arm), b, group))
        for untimed in run.untimed:
            row = _blank(number, run, untimed.arm)
            rows.append(replace(row, remark=untimed.reason))
    return rows


def _blank(number: int, run: Results, arm: Arm) -> Timing:
    """A row without numbers."""
    machine = run.trigru.machine
    return Timing(
        file=number,
        workload=str(arm.workload),
        phase=arm.phase,
        dtype=arm.arithmetic,
        division=arm.division,
        port=arm.port,
        style=arm.style,
        labels=" ".join(arm.labels),
        kernel=arm.kernel,
        devices=arm.devices,
        arm=arm.name,
        date=run.datetime,
        device=machine.device,
        backend=machine.backend,
        threads=machine.threads,
        versions=machine.packages,
    )


def _with_numbers(row: Timing, b: Benchmark, group: Sequence[Benchmark]) -> Timing:
    low_s, high_s = np.quantile(b.time_s, (0.25, 0.75)).tolist()
    row = replace(
        row,
        time_s=b.call_s,
        time_low_s=low_s,
        time_high_s=high_s,
        ratio=b.comparison.ratio,
        low=b.comparison.low,
        high=b.comparison.high,
        remark="; ".join(remarks(b, baseline_of(group))),
    )
    if not b.arm.is_baseline:
        cause = difference(group, b, reference_of(b, group)).cause
        row = replace(row, verdict=b.verdict, cause=cause)
    if program := b.facts.program:
        row = replace(
            row,
            dots=program.dots,
            whiles=program.whiles,
            fusions=program.fusions,
            transposes=program.transposes,
        )
    return row

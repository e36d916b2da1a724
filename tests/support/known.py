"""What trigru says of a run on a virtual machine, read from its files and its screen, and what it has to say."""

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import trigru.bench.commands.compare  # imports the ports before the virtual machine replaces them
from scipy.stats import t
from support import costs
from support.costs import Called, Cost
from support.virtual import Machine, virtual_machine
from trigru.bench.analysis.merge import load
from trigru.bench.arms.work import work_of
from trigru.bench.arms.workloads import get_workload, parse_workload
from trigru.bench.cli import app
from trigru.bench.results.record import Benchmark, Results
from typer.testing import CliRunner

#: B, T, D, H.
SIZES = {"tiny": (1, 8, 4, 8), "question": (1, 50, 20, 200), "vowels": (32, 29, 12, 64)}
SIZE_NAMES = ("batch", "time", "inputs", "hidden")
ROUNDS = 6
FLOOR = 0.03  # as far as the second copy of the baseline is slower
STOCK = (
    "pure[jit]", "pure[jit]#2", "linen[apply]", "nnx[jit]", "nnx[split]", "equinox[filter_jit]", "equinox[partition]",
    "torch[compiled]",
)  # fmt: skip
#: What stands for each framework in the two ways of calling it.
WAYS = {
    "As documented": ("linen[apply]", "nnx[jit]", "equinox[filter_jit]", "torch[compiled]"),
    "Called alike, the parameters as one pytree": ("linen[apply]", "nnx[split]", "equinox[partition]"),
}
FIRST = ("pure[jit]", "linen[apply]", "nnx[jit]", "equinox[filter_jit]")
PEERS = STOCK[-1:]
FUSED = (*STOCK[:2], "pure[jit]:fused", *(name for first in FIRST[1:] for name in (first, f"{first}:fused")), *PEERS)
DIVISIONS = {"stock": STOCK, "fused": FUSED}


#: Of the run that most tests look at.
WORKLOADS, PHASES = ("tiny", "vowels"), ("forward", "train_step", "step")


def groups(division: str, workloads: tuple[str, ...] = WORKLOADS, phases: tuple[str, ...] = PHASES) -> list[str]:
    """Of that run, in their order."""
    return [f"{w}/{p}/float32/{division}" for w in workloads for p in phases]


# What was said.


@dataclass
class Table:
    """As printed: rows of cells by column, and the notes below."""

    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


def tables_in_markdown(text: str) -> dict[str, Table]:
    found = {}
    for part in text.split("\n## ")[1:]:
        title, *lines = part.splitlines()
        rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("|")]
        found[title] = Table(rows[0], rows[2:], [line[2:] for line in lines if line.startswith("- ")])
    return found


def tables_on_screen(text: str) -> dict[str, Table]:
    """Tables of fewer than seven columns, between which there are two spaces or more."""
    lines, found = text.splitlines(), {}
    for number, line in enumerate(lines):
        if re.fullmatch(r" *─+ *", line):
            columns, *rows = (re.split(r" {2,}", row.strip()) for row in (lines[number - 1], *lines[number + 1 :]))
            count = next((n for n, row in enumerate(rows) if len(row) != len(columns)), len(rows))
            title = next(above for above in reversed(lines[: number - 1]) if above.strip())
            found[title.strip()] = Table(columns, rows[:count], [])
    return found


@dataclass
class Run:
    """A run of the command line."""

    machine: Machine
    folder: Path
    screen: str
    processes: int

    @cached_property
    def results(self) -> dict[str, Any]:
        """As it is read, in builtin types."""
        return json.loads(msgspec.json.encode(self.read))

    @cached_property
    def read(self) -> Results:
        """As it is read."""
        return load(self.folder / "results.json")

    @cached_property
    def tables(self) -> dict[str, Table]:
        return tables_in_markdown((self.folder / "report.md").read_text())

    @cached_property
    def measured(self) -> dict[str, Benchmark]:
        """By the arm's id."""
        return {b.fullname: b for b in self.read.benchmarks}

    def arms(self, group: str, names: tuple[str, ...]) -> "list[Arm]":
        return [Arm(self, group, name) for name in names]


def trigru(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def bench(folder: Path, *arguments: str, processes: int = 3, **options: Any) -> Run:
    """Measure on a virtual machine with these options."""
    with virtual_machine(**{"rounds": ROUNDS} | options) as machine:
        found = trigru("compare", "--no-proof", *arguments, "--processes", processes, "-o", folder)
    assert found.exit_code == 0, found.output
    return Run(machine, folder, found.stdout, processes)


# What must be said.


class Arm:
    """What is known of an arm of a run, from its name and the machine's costs."""

    def __init__(self, run: Run, group: str, name: str):
        self.run, self.group, self.name = run, group, name
        self.workload, self.phase, _, self.division = group.split("/")
        parts = re.fullmatch(r"(\w+)\[(\w+)\](?::([^#+]+))?(?:#(\d+))?", name)
        assert parts
        self.port, style, kernel, copy = parts.groups()
        base, _, other = self.workload.partition("@")
        size, _, value = other.partition("=")
        B, T, D, H = (int(value) if size == s else n for s, n in zip(SIZE_NAMES, SIZES[base], strict=True))
        sizes = (B, 1 if self.phase == "step" else T, D, H)
        self.called = Called(sizes, self.phase, self.port, style, kernel or "stock", int(copy or 1))
        of_processes = [run.machine.cost(self.called, process) for process in range(run.processes)]
        self.first_ns = sum(of_processes[0]) + costs.INIT_NS + costs.COLD_NS + sum(self.build_ns)
        sample_ns = run.results["trigru"]["plan"]["sample_time_s"] * 1e9
        self.calls = [min(20, math.ceil(sample_ns / self.sample_ns(1, cost))) for cost in of_processes]
        counted = list(zip(self.calls, of_processes, strict=True))
        self.blocked_s = [1e-9 * self.sample_ns(n, cost) / n for n, cost in counted]
        # the longer of the two counts for each call, the other once
        self.pipelined_s = [1e-9 * (n * max(cost) + min(cost)) / n for n, cost in counted if n > 1]

    def sample_ns(self, calls: int, cost: Cost) -> int:
        """Of calls that are waited for."""
        return calls * sum(cost)

    @property
    def build_ns(self) -> tuple[int, ...]:
        return (0, 0, 0) if self.port == "torch" else self.called.build_ns

    @property
    def time_s(self) -> float:
        return float(np.median(self.blocked_s))

    @property
    def work(self) -> Any:
        return work_of(get_workload(parse_workload(self.workload)), self.phase)

    @property
    def steps(self) -> int:
        workload = get_workload(parse_workload(self.workload))
        return workload.batch_size if self.phase == "step" else workload.steps

    @cached_property
    def baseline(self) -> "Arm":
        return Arm(self.run, self.group, "pure[jit]")

    @property
    def stock(self) -> "Arm":
        return Arm(self.run, self.group, self.name.partition(":")[0])

    @property
    def same_program(self) -> bool:
        return self.port != "torch" and self.called.counts == self.baseline.called.counts

    def logs(self, other: "Arm | None" = None) -> np.ndarray:
        """Of its time over another arm's, in each process."""
        return np.log(self.blocked_s) - np.log((other or self.baseline).blocked_s)

    @property
    def ratio(self) -> tuple[float, ...]:
        return interval(self.logs())

    @property
    def other_ratio(self) -> Any:
        """By the pipelined clock, where every process has samples of it."""
        if self.name == "pure[jit]":
            return "1"
        if min(len(arm.pipelined_s) for arm in (self, self.baseline)) < self.run.processes:
            return "-"
        found = interval(np.log(self.pipelined_s) - np.log(self.baseline.pipelined_s))
        return ("(%)", *short(found)[1:]) if self.called.copy == 2 else short(found)  # the floor is the duplicate's own

    @property
    def verdict(self) -> str:
        return "-" if self.name == "pure[jit]" else "A/A" if self.called.copy == 2 else verdict(self.ratio)

    @property
    def rate(self) -> tuple[float, float]:
        """GFLOP/s, and the share of the nearer limit."""
        gemm, copy = limits(self.run)
        least_s = max(self.work.flops / gemm, self.work.moved_bytes / copy) * 1e-9
        return self.work.flops / self.time_s * 1e-9, least_s / self.time_s

    def over(self, other: "Arm") -> tuple[float, ...]:
        """Time over time, paired, with its interval."""
        return interval(self.logs(other))


def limits(run: Run) -> tuple[float, float]:
    """The best of all processes."""
    gemm, copy = zip(*(run.machine.limits(process) for process in range(run.processes)), strict=True)
    return max(gemm), max(copy)


def interval(logs: np.ndarray) -> tuple[float, ...]:
    """Ratio, low and high: Student's t over the processes."""
    error = np.std(logs, ddof=1) / len(logs) ** 0.5
    return centred(logs.mean(), np.hypot(t.ppf(0.975, len(logs) - 1) * error, 1.96 * between_runs(logs)))


def between_runs(logs: np.ndarray) -> float:
    """Runs of two to four processes differ by 1 % beyond that: a standard deviation. No arm differs from itself."""
    return 0.01 if 2 <= len(logs) <= 4 and np.ptp(logs) else 0.0


def centred(log: float, reach: float) -> tuple[float, ...]:
    return tuple(float(np.exp(x)) for x in (log, log - reach, log + reach))


def mean_interval(of_groups: list[np.ndarray]) -> tuple[float, ...]:
    """The geometric mean over groups: Welch's degrees of freedom, or the processes' means if they say less."""
    K, P = np.shape(of_groups)
    squares = [np.var(logs, ddof=1) / P for logs in of_groups]
    freedom = sum(squares) ** 2 / sum(s**2 / (P - 1) for s in squares)
    means = np.mean(of_groups, axis=0)
    reaches = t.ppf(0.975, freedom) * sum(squares) ** 0.5 / K, t.ppf(0.975, P - 1) * np.std(means, ddof=1) / P**0.5
    return centred(means.mean(), np.hypot(max(reaches), 1.96 * max(map(between_runs, of_groups))))


def verdict(ratio: tuple[float, ...], floor: float = FLOOR) -> str:
    centre, low, high = ratio
    if abs(math.log(centre)) <= math.log1p(floor) or low <= 1 <= high:
        return "indistinguishable"
    return "slower" if centre > 1 else "faster"


def short(ratio: tuple[float, ...], mark: str = "") -> tuple[Any, ...]:
    """As where there is room for one number and its reach: how it is dressed, and the two."""
    centre, low, high = ratio
    dress = "(%)" if verdict(ratio) == "indistinguishable" else "%"
    return dress + mark, centre, max(high / centre - 1, 1 - low / centre)


UNITS = {"µs": 1e-6, "ms": 1e-3, "s": 1, "k": 1e3, "M": 1e6, "G": 1e9, "KiB": 2**10, "MiB": 2**20, "%": 0.01}
NUMBER = re.compile(r"([-+]?\d+(?:\.(\d+))?)(?:e([-+]\d+))?(?: ?(µs|ms|s\b|[kMG]\b|KiB|MiB|B\b|%))?")


def says(cell: str, expected: Any) -> bool:
    """Whether a cell is a text, or has these numbers to all the digits that it shows; a sample is kept to six."""
    if isinstance(expected, str):
        return cell == expected
    if expected and isinstance(expected[0], str):  # how it is dressed
        dressed = expected[0].replace("%", "")
        if re.sub(r"[^()*]", "", cell) != dressed:
            return False
        expected = expected[1:]
    found = NUMBER.findall(cell)
    if len(found) != len(expected):
        return False
    for (number, decimals, exponent, unit), value in zip(found, expected, strict=True):
        scale = UNITS.get(unit, 1) * 10.0 ** int(exponent or 0)
        if abs(value / scale - float(number)) > 0.5 * 10.0 ** -len(decimals) + 1e-5 * abs(value / scale):
            return False
    return True


def check(table: Table, columns: dict[str, Any], things: list[Any]) -> None:
    """Every cell of a table is what its column's function makes of its row's thing."""
    assert table.columns == list(columns)
    assert len(table.rows) == len(things)
    for row, thing in zip(table.rows, things, strict=True):
        for cell, (column, known) in zip(row, columns.items(), strict=True):
            assert says(cell, known(thing)), f"{column} of {row} is {cell}, expected {known(thing)}"

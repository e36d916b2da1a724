"""The samples behind the numbers of a page: every round of every arm, by process, in microseconds."""

from collections.abc import Sequence
from typing import Any

from ....common.gru.kernels import STOCK
from ...analysis.answer import Row
from ...results.record import Benchmark, Results
from ..provenance import short_group


class Samples:
    """The samples of some runs, each arm at a place of its own."""

    def __init__(self, runs: Sequence[Results]):
        self._runs = list(runs)
        self._places: dict[tuple[int, str], int] = {}
        for number, run in enumerate(runs):
            for b in run.benchmarks:
                self._places[number, b.arm.id] = len(self._places)

    def place(self, run: Results, b: Benchmark) -> int:
        """The place of an arm of a run."""
        return self._places[self._number(run), b.arm.id]

    def place_of_baseline(self, run: Results, b: Benchmark) -> int:
        """The place of the arm that the ratio of another is relative to."""
        return next(self.place(run, other) for other in run.groups()[b.group] if other.arm.is_baseline)

    def place_of(self, run: Results, row: Row, port: str, style: str) -> int:
        """The place of a port's call style in the work of a row of the answer."""
        return self.place_by_name(run, row, f"{port}[{style}]")

    def place_by_name(self, run: Results, row: Row, name: str) -> int:
        """The place of an arm by its name in the work of a row of the answer."""
        work = str(row.workload), row.phase, STOCK, name
        return next(
            self.place(run, b)
            for b in run.benchmarks
            if (str(b.arm.workload), b.arm.phase, b.arm.division, b.name) == work
        )

    def content(self) -> dict[str, Any]:
        """For the page's own program: processes of each group's rounds; of each arm its name, work, group and times."""
        processes: list[list[int]] = []
        arms: list[dict[str, Any]] = []
        for run in self._runs:
            for group in run.groups().values():
                processes.append(group[0].facts.process)
            at = {group: number for number, group in enumerate(run.groups(), len(processes) - len(run.groups()))}
            for b in run.benchmarks:
                times = [float(f"{time_s * 1e6:.4g}") for time_s in b.time_s]
                arms.append({"name": b.name, "work": short_group(b.arm), "group": at[b.group], "us": times})
        return {"processes": processes, "arms": arms}

    def _number(self, run: Results) -> int:
        return next(number for number, other in enumerate(self._runs) if other is run)

"""What other numbers of processes and rounds would see: `python -m trigru.bench.commands.simulation RESULTS`.

RESULTS is the file of a `trigru bench --calibrate` on an idle machine. The numbers of processes and rounds that
`trigru bench` takes by default were chosen with it.
"""

import sys
from itertools import product
from pathlib import Path

from ..analysis.simulation import samples, simulate, spread_of
from ..reporting.console import Progress, show
from ..reporting.sections import Section
from ..results.files import load

PROCESSES, ROUNDS, DIFFERENCES, TRIALS = (3, 5, 8, 10, 12, 16), (12, 24, 36), (0.02, 0.03), 300


def main(path: Path) -> None:
    """Print what processes and rounds differ by, and what each choice would see."""
    results = load(path)
    spreads = [
        (name, f"{spread.processes:.1%}", f"{spread.rounds:.1%}")
        for name, spread in ((name, spread_of(found)) for name, found in samples(results).items())
    ]
    rows = []
    choices = list(product(PROCESSES, ROUNDS))
    with Progress("simulate") as progress:
        for processes, rounds in choices:
            choice = simulate(results, processes, rounds, DIFFERENCES, TRIALS)
            found = (f"{choice.found[difference]:.0%}" for difference in DIFFERENCES)
            rows.append((str(processes), str(rounds), f"{choice.time_s:.0f} s", f"{choice.wrong:.1%}", *found))
            progress.add("simulate", 1 / len(choices))
    columns = ("processes", "rounds", "time", "called different", *(f"{d:.0%} found" for d in DIFFERENCES))
    show([
        Section("Ratios of identical arms differ", ("workload", "between processes", "between rounds"), spreads),
        Section("What a calibration would see", columns, rows),
    ])  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))

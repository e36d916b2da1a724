"""How often quick intervals hold: `python -m trigru.bench.commands.coverage LONG RUN...`.

LONG and each RUN are results of the same arms, LONG of many processes. What `--quick` takes was tested with it.
"""

import sys
from pathlib import Path

from ..analysis.coverage import coverage
from ..reporting.console import show
from ..reporting.sections import Prose, Section
from ..results.files import load


def main(long: Path, runs: list[Path]) -> None:
    """Print the share of all intervals that hold the long run's ratio, and that of each arm."""
    found = coverage([load(run) for run in runs], load(long))
    rows = [(arm, f"{share:.0%}") for arm, share in found.by_arm.items()]
    title = f"95 % intervals of {found.runs} runs that hold the ratio of {long}"
    share = f"All {found.intervals} intervals: {found.share:.1%} [{found.low:.1%}, {found.high:.1%}] hold it"
    show(
        [
            Section(
                title, (Prose("arm"), "share"), rows, (f"{share}; half of them reach farther than ±{found.width:.1%}.",)
            )
        ]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), list(map(Path, sys.argv[2:])))

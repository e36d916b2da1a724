"""`trigru report`: the tables of a results file."""

from pathlib import Path

from ..analysis.merge import merge
from ..reporting.calibration import calibration_tables
from ..reporting.console import show
from ..reporting.equality import equality_line, equality_tables
from ..reporting.kernels import kernel_tables
from ..reporting.overhead import overhead_tables
from ..reporting.provenance import provenance_lines
from ..reporting.sections import Section
from ..reporting.sight import sight_lines
from ..reporting.times import closing_tables, summary_tables, timing_tables
from ..results.files import load
from ..results.record import Results
from ..timing.journal import PARTIAL, Journal


def load_run(path: Path) -> Results:
    """A run, given the path of its results or of their folder; or as far as it came, given its journal's.

    Raises a TrigruError if it cannot be read.
    """
    return merge(Journal.read(path)) if path.suffix == Path(PARTIAL).suffix else load(path)


def report(path: Path, *, details: bool) -> None:
    """Print the tables of a run again."""
    results = load_run(path)
    show(equality_tables(results.trigru.equality or []))
    show(time_tables(results), above=provenance_lines(results), details=details)
    show_summary(results)


def show_summary(results: Results) -> None:
    """Print what a screen of tables ends with: each framework's best time, and what was proven and could be seen."""
    equality = results.trigru.equality
    missing = [u.arm.port for u in results.untimed if u.arm.style is None and u.arm.port in results.trigru.plan.ports]
    below = [equality_line(equality, dict.fromkeys(missing))] if equality else []
    show(closing_tables(results), below=[*sight_lines(results), *below])


def tables_of(results: Results) -> list[Section]:
    """All tables of a results file: first what was proven, then the times."""
    return [*equality_tables(results.trigru.equality or []), *time_tables(results)]


def time_tables(results: Results) -> list[Section]:
    """What it says of times."""
    if results.trigru.plan.trials:
        return calibration_tables(results)
    makers = (summary_tables, overhead_tables, kernel_tables, timing_tables)
    return [section for make in makers for section in make(results)]

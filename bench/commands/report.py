"""`trigru report`: the answer of a run on one screen, and its tables."""

from pathlib import Path

import msgspec
import typer

from ..analysis.answer import Answer, answer
from ..analysis.merge import merge
from ..reporting.answer import answer_lines, proof_lines
from ..reporting.calibration import calibration_tables
from ..reporting.console import say, show, show_lines
from ..reporting.equality import equality_tables
from ..reporting.frameworks import framework_tables
from ..reporting.kernels import kernel_tables
from ..reporting.overhead import overhead_tables
from ..reporting.provenance import load_warnings, provenance_lines
from ..reporting.sections import Section
from ..reporting.sight import sight_lines
from ..reporting.times import timing_tables
from ..results.files import load
from ..results.record import Results
from ..timing.journal import PARTIAL, Journal


def load_run(path: Path) -> Results:
    """A run, given the path of its results or of their folder; or as far as it came, given its journal's.

    Raises a TrigruError if it cannot be read.
    """
    return merge(Journal.read(path)) if path.suffix == Path(PARTIAL).suffix else load(path)


def report(path: Path, *, details: bool = False, json: bool = False) -> None:
    """Show a run again."""
    show_run(load_run(path), details=details, json=json)


def show_run(results: Results, *, found: Answer | None = None, details: bool = False, json: bool = False) -> None:
    """Print the answer of a run on one screen; with details, after all tables; with json, instead for machines.

    A failed proof, a calibration, a kernel, a sweep and a run of other call styles have tables of their own above it.

    Args:
        found: the answer of the run, where it is known already.
    """
    found = found or answer(results)
    if json:
        typer.echo(msgspec.json.encode(found).decode())
        if not found.rows:
            say("the answer has no rows: no framework was timed as documented or called alike, with its own cell.")
        return
    plan = results.trigru.plan
    failed = [m for m in results.trigru.equality or () if not m.passed]
    if details:
        show(tables_of(results, found), above=provenance_lines(results), details=True)
    else:
        ports = {(m.port, m.kernel) for m in failed}
        show(equality_tables([m for m in results.trigru.equality or () if (m.port, m.kernel) in ports]))
        if plan.trials or not found.rows:
            show(time_tables(results, found), above=provenance_lines(results))
        else:
            show([*kernel_tables(results), *(overhead_tables(results)[1:] if plan.swept else ())])
    if found.rows and not plan.trials:
        show_lines(answer_lines(found, load_warnings(results.trigru)))
    else:
        show_lines([*proof_lines(found), *sight_lines(results)])


def tables_of(results: Results, found: Answer | None = None) -> list[Section]:
    """All tables of a results file: first what was proven, then the times.

    Args:
        found: the answer of the run, where it is known already.
    """
    return [*equality_tables(results.trigru.equality or []), *time_tables(results, found)]


def time_tables(results: Results, found: Answer | None = None) -> list[Section]:
    """What it says of times."""
    if results.trigru.plan.trials:
        return calibration_tables(results)
    makers = (overhead_tables, kernel_tables, timing_tables)
    return [*framework_tables(results, found), *(section for make in makers for section in make(results))]

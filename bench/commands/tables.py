"""All tables of a run, in their order."""

from ..analysis.answer import Answer
from ..reporting.equality import equality_tables
from ..reporting.frameworks import framework_tables
from ..reporting.kernels import kernel_tables
from ..reporting.overhead import overhead_tables
from ..reporting.scaling import scaling_tables
from ..reporting.sections import Section
from ..reporting.times import timing_tables
from ..results.record import Results


def tables_of(results: Results, found: Answer | None = None) -> list[Section]:
    """All tables of a results file: first what was proven, then the times.

    Args:
        found: the answer of the run, where it is known already.
    """
    return [*equality_tables(results.trigru.equality or []), *time_tables(results, found)]


def time_tables(results: Results, found: Answer | None = None) -> list[Section]:
    """What it says of times."""
    makers = (scaling_tables, overhead_tables, kernel_tables, timing_tables)
    return [*framework_tables(results, found), *(section for make in makers for section in make(results))]

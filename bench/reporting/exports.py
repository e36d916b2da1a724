"""Results for machines: the tidy table as CSV, and the answer as JSON.

The same results give the same bytes.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict, astuple

from ...common.errors import for_terminal
from ..analysis.answer import Answer, AnswerRow, answer
from ..analysis.benchmarks import Benchmark, Results
from ..analysis.pairs import Difference
from ..analysis.ranking import Ranking
from ..analysis.timings import Timing, timings
from .numbers import json_text

#: A spreadsheet takes a cell that begins so as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def runs_csv(runs: Sequence[Results]) -> str:
    """A row for each arm of some runs, with numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Timing.__struct_fields__)
    for row in timings(runs):
        writer.writerow([_csv_cell(value) for value in astuple(row)])
    return text.getvalue()


def runs_json(runs: Sequence[Results]) -> str:
    """The rows of `runs_csv`, and the answer of each run."""
    answers = [answer_record(answer(run)) for run in runs]
    content = {"rows": timings(runs), "answers": answers}
    return f"{json_text(content, indent=1)}\n"


def _csv_cell(value: object) -> object:
    return for_csv(value) if isinstance(value, str) else value


def for_csv(text: str) -> str:
    """What a spreadsheet takes as text and never as a formula, in a cell of a file."""
    text = for_terminal(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def answer_record(answer: Answer) -> dict[str, Any]:
    """The answer of a run for machines."""
    run = answer.run.trigru
    measured = run.begun.equality or []
    return {
        "proofs": answer.proofs,
        "checks": list(dict.fromkeys(m.check for m in measured)),
        "dtypes": list(dict.fromkeys(m.dtype for m in measured)),
        "ports": answer.ports,
        "missing": answer.missing,
        "untimed": answer.untimed,
        "rows": [_row_record(row) for row in answer.rows],
        "datetime": answer.run.datetime,
        "machine": run.machine,
        "processes": answer.processes,
        "complete": run.complete,
        "arithmetic": run.plan.arithmetic,
    }


def _row_record(row: AnswerRow) -> dict[str, Any]:
    alternatives = {}
    for port, alternative in row.alternatives.items():
        record = _arm_record(alternative.benchmark)
        record["documented_over_it"] = _difference_record(alternative.difference)
        alternatives[port] = record
    styles = {}
    for label, ranking in row.rankings.items():
        styles[label] = _ranking_record(ranking)
    b = row.baseline
    return {
        "workload": row.workload,
        "shape": b.shape,
        "phase": row.phase,
        "clock": row.clock,
        "usual_clock": row.is_usual,
        "floor": b.floor,
        "plain_s": b.call_s,
        "styles": styles,
        "alternatives": alternatives,
    }


def _ranking_record(ranking: Ranking) -> dict[str, Any]:
    """The frameworks in one call style, by port, and which are the fastest."""
    frameworks = {}
    for port, b in ranking.benchmarks.items():
        record = _arm_record(b)
        record["time_s"] = ranking.time_s(port)
        record["not_compared"] = ranking.not_compared.get(port)
        d = ranking.over_leader.get(port)
        record["over_leader"] = None if d is None else _difference_record(d)
        frameworks[port] = record
    return {
        "leader": ranking.leader,
        "best": ranking.best,
        "frameworks": frameworks,
        "pairs": [_difference_record(d) for d in ranking.pairs.values()],
    }


def _difference_record(d: Difference) -> dict[str, Any]:
    facts = asdict(d)
    del facts["comparison"]
    return asdict(d.comparison) | facts


def _arm_record(b: Benchmark) -> dict[str, Any]:
    """An arm's time, and its ratio to plain JAX's with the 95 % interval."""
    return {
        "style": b.arm.style,
        "time_s": b.call_s,
        "ratio": b.comparison.ratio,
        "low": b.comparison.low,
        "high": b.comparison.high,
    }

"""`python -m trigru.bench.studies NAME FILE [--short]`: prove, time and write a study."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ...common.errors import TrigruError
from ..processes.child import lines_of
from ..timing.machine import describe_machine, load_average
from .ratios import ratio_of
from .record import SCHEMA, StudyRecord, save_study
from .study import STUDIES, Study, checked, get_study
from .worker import Request

#: Processes and rounds of each, of a whole run and of a short one.
WHOLE, SHORT = (8, 22), (2, 4)
SAMPLE_TIME_S, LIMIT_S = 2.5e-3, 900.0


def measure(study: Study, *, short: bool) -> StudyRecord:
    """Show what has to hold of the arms, then time them in fresh processes, one after the other."""
    began, load_before, settings = datetime.now(UTC).isoformat(), load_average(), study.settings(short)
    shown, curves = study.show(settings)
    checked(shown)
    processes, rounds = SHORT if short else WHOLE
    time_s: dict[str, list[float]] = {}
    for number in range(processes):
        request = Request(study.name, settings, number, rounds, SAMPLE_TIME_S)
        answer = b"".join(lines_of("trigru.bench.studies.worker", msgspec.json.encode(request), LIMIT_S))
        for arm, times_s in msgspec.json.decode(answer, type=dict[str, list[float]]).items():
            time_s.setdefault(arm, []).extend(times_s)
        print(f"process {number + 1} of {processes}", file=sys.stderr)
    command = ["python", "-m", "trigru.bench.studies", study.name, *(["--short"] if short else [])]
    return StudyRecord(
        SCHEMA, study.name, began, command, describe_machine(study.packages), short, load_before, load_average(),
        settings, shown, curves, [number for number in range(processes) for _ in range(rounds)], time_s,
        study.read(settings),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure a study, print its ratios and write its record."""
    parser = argparse.ArgumentParser("python -m trigru.bench.studies", description=__doc__)
    parser.add_argument("study", choices=[study.name for study in STUDIES])
    parser.add_argument("file", type=Path, help="the record to write")
    parser.add_argument("--short", action="store_true", help="a first look in a minute, not to be published")
    asked = parser.parse_args(arguments)
    try:
        record = measure(get_study(asked.study), short=asked.short)
    except TrigruError as error:
        print(error, file=sys.stderr)
        return 1
    save_study(asked.file, record)
    for arm in record.time_s:
        found = ratio_of(record, arm)
        r = found.ratio
        print(f"{arm}: {1e3 * found.time_s:.4g} ms, {r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}], {found.verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

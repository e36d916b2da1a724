"""Files that are nearly right, to every reader: it takes them whole, or says in a sentence what is wrong.

What a reader takes goes through everything that is done with it. By default each reader gets some seconds;
`pytest -m long tests/fuzz` takes five minutes for each.
"""

import json
import time

import msgspec
import pytest
from support.mutations import mutate, mutate_lines
from support.processes import fill, journal_at
from support.runs import draw_run
from trigru.bench.analysis.diff import diff
from trigru.bench.analysis.merge import merge
from trigru.bench.commands import train
from trigru.bench.commands.report import show_run, tables_of
from trigru.bench.reporting.diff import diff_tables
from trigru.bench.reporting.outcome import outcome
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown, terminal
from trigru.bench.results.files import load, save
from trigru.bench.timing.journal import Journal
from trigru.bench.training import study
from trigru.bench.training.experiments import get_experiment
from trigru.bench.training.journal import Begun, Trained, TrainingJournal, from_bytes, to_bytes
from trigru.bench.training.record import load_record
from trigru.bench.training.tables import agreement_table, gain_table
from trigru.common.errors import TrigruError

SHORT_S, LONG_S, SLOW_S = 3, 300, 10
TRAINING = Begun(
    ["sunspots-2"], ["linen"], 2, True, {"jax": "0.12.0"}, "2026-11-26 00:00:00",
    [study.Agreement("sunspots-2", name, [2.0, 1.0]) for name in ("pure", "linen")],
)  # fmt: skip
RUNS = [
    study.Run("sunspots-2", "linen", start, seed, [1.0, 0.9], [1.0, 0.8], 1, True, 1.0, 0.5, 0.0)
    for start in ("zero", "learned")
    for seed in (0, 1)
]


def consume_results(path):
    results = load(path)
    consume(results)
    save(results, path.with_name("again.json"))
    assert load(path.with_name("again.json")) == results


def consume(results):
    for options in ({}, {"details": True}, {"json": True}):
        show_run(results, **options)
    page = markdown("trigru", provenance_lines(results), tables_of(results))
    assert "\x1b" not in page
    assert "<script>" not in page
    found = diff(results, results, fail_above=0.05, absolute=False, allow_missing=True, allow_other_machine=True)
    diff_tables(found)
    outcome(found)


def consume_journal(path):
    consume(merge(Journal.read(path)))


@pytest.fixture(scope="module")
def results_content():
    """A small run with a proof, two groups and an arm without a number."""
    run = draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "tiny/step"))
    return json.loads(msgspec.json.encode(run))


@pytest.fixture(scope="module")
def journal_lines(tmp_path_factory):
    """Those of a whole run."""
    journal = journal_at(tmp_path_factory.mktemp("run") / "run.jsonl")
    fill(journal)
    return [json.loads(line) for line in journal.path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def training_lines(tmp_path_factory):
    """Those of two trainings."""
    journal = TrainingJournal(tmp_path_factory.mktemp("train") / "run.jsonl", TRAINING)
    params = study.start_params(get_experiment("sunspots-2"), 0)
    for number, run in enumerate(RUNS):
        journal.add(Trained(run, None if number else to_bytes(params)))
    return [json.loads(line) for line in journal.path.read_bytes().splitlines()]


def consume_training(path):
    journal = TrainingJournal.read(path)
    if journal.runs:
        terminal([gain_table(journal.runs, complete=False)])
    for trained in journal.trained:
        if trained.fitted is not None:
            from_bytes(trained.fitted)


@pytest.fixture(scope="module")
def record_content():
    """The record of two trainings."""
    record = train._record(True, runs=RUNS, agreement=TRAINING.agreement)
    return json.loads(msgspec.json.encode(record))


def consume_record(path):
    record = load_record(path)
    if record.runs:
        terminal([gain_table(record.runs)])
    if record.agreement:
        terminal([agreement_table(record.agreement)])


def whole(line):
    """As it is written."""
    return json.dumps(line).encode() + b"\n"


READERS = {
    "results": ("results_content", "results.json", mutate, consume_results),
    "journal": ("journal_lines", "results.partial.jsonl", mutate_lines, consume_journal),
    "training journal": ("training_lines", "training.partial.jsonl", mutate_lines, consume_training),
    "training record": ("record_content", "training.json", mutate, consume_record),
}


@pytest.mark.parametrize("seconds", [SHORT_S, pytest.param(LONG_S, marks=pytest.mark.long)])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_nearly_right_is_taken_whole_or_refused_in_a_sentence(
    request, reader, seconds, tmp_path, rng, quick_bootstrap, say_at_end
):
    fixture, name, spoil, consume_file = READERS[reader]
    good, path = request.getfixturevalue(fixture), tmp_path / name
    end, tried, taken = time.monotonic() + seconds, 0, 0
    path.write_bytes(json.dumps(good).encode() if isinstance(good, dict) else b"".join(whole(line) for line in good))
    consume_file(path)
    while time.monotonic() < end:
        path.write_bytes(content := spoil(good, rng))
        began, tried = time.monotonic(), tried + 1
        try:
            consume_file(path)
            taken += 1
        except TrigruError as error:
            said = str(error)
            if not said or len(said) > 2000 or "\n" in said:
                pytest.fail(f"this is no sentence: {said[:3000]}")
        except Exception:
            kept = path.with_name("traceback.json")
            kept.write_bytes(content)
            print(f"the file is {kept}")
            raise
        assert time.monotonic() - began < SLOW_S
    assert 0 < taken < tried
    say_at_end(f"{tried} files to the reader of the {reader}: {taken} taken, {tried - taken} refused")

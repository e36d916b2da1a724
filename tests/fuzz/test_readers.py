"""Files that are nearly right, to every reader: it takes them whole, or says in a sentence what is wrong.

What a reader takes goes through everything that is done with it. By default each reader gets some seconds;
`pytest -m long tests/fuzz` takes three minutes for each.
"""

import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from safetensors.numpy import save as save_tensors
from support.mutations import mutate, mutate_arrays, mutate_lines, npy_of, spoil  # fmt: skip
from support.processes import fill, journal_at
from support.runs import EQUAL, draw_run, save
from support.snapshots import snapshot_of, step_calls
from trigru.bench.analysis.diff import diff
from trigru.bench.analysis.merge import load, merge
from trigru.bench.analysis.starts import load_starts
from trigru.bench.commands.pages import tables_of
from trigru.bench.commands.report import show_run
from trigru.bench.reporting.diff import diff_tables, outcome
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown
from trigru.bench.reporting.starts import cold_start_tables
from trigru.bench.results import files
from trigru.bench.timing.journal import Journal
from trigru.bench.upgrades import folder
from trigru.bench.upgrades.changes import changes, reservations
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.tables import change_tables, snapshot_table
from trigru.common.config import GRUConfig
from trigru.common.errors import TrigruError
from trigru.common.parameters.record import check_params, config_of, leaves, random_params
from trigru.impls.checkpoints import layouts, read, write

ROOT = Path(__file__).parents[2]
SHORT_S, SLOW_S = 2, 10


def consume_results(path):
    run = files.read(path)
    results = merge(run)
    consume(results)
    if run.ended and run.machine:
        files.save(run, results.untimed, path.with_name("again.json"))
        assert load(path.with_name("again.json")).benchmarks == results.benchmarks


def consume(results):
    for options in ({}, {"details": True}, {"json": True}):
        show_run(results, **options)
    page = markdown("trigru", provenance_lines(results), tables_of(results))
    assert "\x1b" not in page
    assert "<script>" not in page
    found = diff(results, results, anyway=True)
    diff_tables(found)
    outcome(found)


def consume_journal(path):
    consume(merge(Journal.read(path)))


ARRAY = np.linspace(0.0, 1.0, 3)


def consume_snapshot(path):
    (path.parent / folder.ARRAYS).write_bytes(folder.encode({folder.name_of(ARRAY): ARRAY}))
    found = folder.load(path.parent)
    snapshot_table(found[0])
    reservations(found[0], found[0])
    change_tables(changes(found, found), ())


def consume_starts(path):
    found = load_starts(path)
    cold_start_tables(found.starts, found.datetime, (found.load_before, found.load_after))


@pytest.fixture(scope="module")
def snapshot_content():
    """Two subjects with some of every fact."""
    arrays = {"carry": folder.name_of(ARRAY)}
    facts = {"draws": {"gru": arrays}, "tree": {".w": "float32(2,)"}, "files": {"a": {"w": "(2,)"}}}
    facts |= {"values": {"forward jit": arrays}, "calls": step_calls(100), "checkpoints": {"a": arrays}}
    facts |= {"programs": {"forward jit": {"dots": 2, "temporary memory": 9, "fingerprint": "x"}}}
    facts |= {"styles": {"jit": ""}, "warnings": {"at call, a.py": ["soon"]}, "problems": {"tree": "no"}}
    subjects = [Subject(name, "pure", **facts) for name in ("pure", "pure:fused")]
    return msgspec.to_builtins(snapshot_of(*subjects, equality=[EQUAL], departures=[("nn.RNN", "a", "on record")]))


@pytest.fixture(scope="module")
def starts_content():
    """Those that are published."""
    return json.loads((ROOT / "docs" / "results" / "cold_start.json").read_bytes())


@pytest.fixture(scope="module")
def results_content(tmp_path_factory):
    """A small run with a proof, two groups and an arm without a number."""
    run = draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "tiny/step"))
    path = tmp_path_factory.mktemp("results") / "results.json"
    save(run, path)
    return json.loads(path.read_bytes())


@pytest.fixture(scope="module")
def journal_lines(tmp_path_factory):
    """Those of a whole run."""
    journal = journal_at(tmp_path_factory.mktemp("run") / "run.jsonl")
    fill(journal)
    return [json.loads(line) for line in journal.path.read_bytes().splitlines()]


def whole(line):
    """As it is written."""
    return json.dumps(line).encode() + b"\n"


PARAMS = random_params(GRUConfig(2, 3))
#: By suffix: layouts whose arrays are put into such files, and how.
FILES = {
    ".safetensors": (("canonical", "torch", "linen", "nnx"), lambda arrays, rng: _safetensors(arrays)),
    ".msgpack": (("linen", "nnx"), lambda arrays, rng: msgpack_serialize(_nested(arrays))),
    ".eqx": (("equinox",), lambda arrays, rng: b"".join(map(npy_of, arrays.values()))),
}


def _safetensors(arrays):
    return save_tensors({name: np.ascontiguousarray(a) for name, a in arrays.items() if a.dtype != np.complex64})


def _nested(arrays):
    tree = {}
    for name, array in arrays.items():
        *path, last = name.split(".")
        node = tree
        for key in path:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):  # an array is where another one's folder would be
                return {"params": arrays}
        node[last] = array
    return tree


def mutate_params(suffix, rng):
    """A file of parameters that is nearly right."""
    names, content_of = FILES[suffix]
    arrays = layouts()[rng.choice(names)].flat(PARAMS)
    if rng.random() < 0.3:
        return spoil(content_of(arrays, rng), rng)
    if suffix == ".safetensors" and rng.random() < 0.5:
        content = content_of(arrays, rng)
        length = int.from_bytes(content[:8], "little")
        header = mutate(json.loads(content[8 : 8 + length]), rng)
        return len(header).to_bytes(8, "little") + header + content[8 + length :]
    return content_of(mutate_arrays(arrays, rng), rng)


def consume_params(path):
    found = read(path)
    check_params(found.params, config_of(found.params))
    assert all(np.isfinite(array).all() for array in leaves(found.params).values())
    found.to("nnx")


READERS = {
    "results": ("results_content", "results.json", mutate, consume_results),
    "snapshot": ("snapshot_content", folder.FILE, mutate, consume_snapshot),
    "cold starts": ("starts_content", "cold_start.json", mutate, consume_starts),
    "journal": ("journal_lines", "results.partial.jsonl", mutate_lines, consume_journal),
    **{f"{suffix} file": (suffix, f"params{suffix}", mutate_params, consume_params) for suffix in FILES},
}


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_nearly_right_is_taken_whole_or_refused_in_a_sentence(
    request, reader, tmp_path, rng, quick_bootstrap, say_at_end
):
    fixture, name, make, consume_file = READERS[reader]
    path = tmp_path / name
    good = fixture if fixture in FILES else request.getfixturevalue(fixture)
    if isinstance(good, str):
        write(path, PARAMS, FILES[good][0][0])
    else:
        path.write_bytes(json.dumps(good).encode() if isinstance(good, dict) else b"".join(map(whole, good)))
    consume_file(path)
    end, tried, taken = time.monotonic() + SHORT_S, 0, 0
    while time.monotonic() < end:
        path.write_bytes(make(good, rng))
        tried, taken = tried + 1, taken + is_taken(path, consume_file)
    assert 0 < taken < tried
    say_at_end(f"{tried} files to the reader of the {reader}: {taken} taken, {tried - taken} refused")


def is_taken(path, consume_file):
    """Whether a file is taken; fails if it is refused in anything but a sentence, or slowly."""
    began = time.monotonic()
    try:
        consume_file(path)
        taken = True
    except TrigruError as error:
        taken, said = False, str(error)
        if not said or len(said) > 2000 or "\n" in said or "TypeCheckError" in said:
            pytest.fail(f"this is no sentence: {said[:3000]}")
    except Exception:
        kept = path.with_name("traceback")
        path.rename(kept)
        print(f"the file is {kept}")
        raise
    assert time.monotonic() - began < SLOW_S
    return taken


STRANGE = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a loop of links": lambda path: os.symlink(path, path),
    "an endless device": lambda path: os.symlink("/dev/zero", path),
    "nothing": lambda path: None,
    "an empty file": lambda path: path.touch(),
    "a huge file": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_of_a_bounded_size_is_refused_at_once(reader, strange, tmp_path):
    _, name, _, consume_file = READERS[reader]
    STRANGE[strange](tmp_path / name)
    assert not is_taken(tmp_path / name, consume_file)

"""Files that are nearly right, to every reader: it takes them whole, or says in a sentence what is wrong."""

import copy
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_bytes
from support.files import lines_of
from support.processes import fill, journal_at
from support.runs import ENDED, draw_run, save
from support.snapshots import snapshot_of
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import load_starts
from trigru.bench.commands.report import show_run, show_starts
from trigru.bench.results.lines import CHECKSUM, encode
from trigru.bench.upgrades import files, matrix
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.tables import matrix_tables
from trigru.common.config import GRUConfig
from trigru.common.errors import TrigruError
from trigru.common.parameters.record import random_params
from trigru.impls.checkpoints import read, write

ROOT = Path(__file__).parents[2]
SLOW_S, TRIED = 10, 40
#: In place of a value; bytes are no JSON that trigru writes.
VALUES = (
    -1, 0, 3, 1e-300, 1e308, -0.0, b"NaN", b"1e400", b"9" * 400, None, True, 1.5, [], {}, [[]],
    b"[" * 20_000 + b"]" * 20_000, "", "\x1b[31mred\x9b", b'"\\ud800"', "<script>alert(1)</script>", "pure",
    "../../etc", "baseline", "x" * 100_000, "\u202e", b'{"a": 1, "a": 2}', "2026-99-99", "fused",
)  # fmt: skip
HOLE = "<hole>"
PARAMS = random_params(GRUConfig(2, 3))


def show_all(path):
    run = load(path)
    show_run(run, details=True)
    show_run(run, json=True)


def write_snapshot(path):
    array = np.linspace(0.0, 1.0, 3)
    facts = {"values": {"forward jit": {"carry": files.name_of(array)}}, "tree": {".w": "float32(2,)"}}
    files.save(path.parent, snapshot_of(Subject("pure", "pure", **facts)), {files.name_of(array): array})


def write_matrix(path):
    row = matrix.Row("2025-01-15", [], "2025-01-15", versions={"jax": "0.5.0"}, seconds=[1.5, 20.0])
    path.write_bytes(encode(matrix.Matrix(matrix.SCHEMA, ["trigru", "matrix"], ENDED, "A CPU", [row])))


#: Of files with a checksum: their name, what writes a good one, and what reads and shows it.
SEALED = {
    "results": (
        "results.json",
        lambda path: save(draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "tiny/step")), path),
        show_all,
    ),
    "journal": ("results.partial.jsonl", lambda path: fill(journal_at(path)), show_all),
    "snapshot": (files.FILE, write_snapshot, lambda path: files.load(path.parent)),
    "cold starts": (
        "cold_start.json",
        lambda path: path.write_bytes((ROOT / "docs" / "results" / "cold_start.json").read_bytes()),
        lambda path: (load_starts(path), show_starts(path, None)),
    ),
    "matrix": ("matrix.json", write_matrix, lambda path: matrix_tables(matrix.read(path))),
}
READERS = SEALED | {
    "safetensors": ("params.safetensors", lambda path: write(path, PARAMS, "canonical"), read),
    "msgpack": ("params.msgpack", lambda path: write(path, PARAMS, "linen"), read),
    "eqx": ("params.eqx", lambda path: write(path, PARAMS, "equinox"), read),
}


@pytest.fixture(scope="module", params=READERS)
def good(request, tmp_path_factory):
    """A reader's name, a file that it takes, its content, and what reads it."""
    name, write_good, use = READERS[request.param]
    path = tmp_path_factory.mktemp("good") / name
    write_good(path)
    return request.param, path, path.read_bytes(), use


def is_taken(path, use):
    """Whether a file is taken; fails if it is refused in anything but a sentence, or slowly."""
    began = time.monotonic()
    message = None
    try:
        use(path)
    except TrigruError as error:
        message = str(error)
    assert message is None or (0 < len(message) <= 2000 and message.isprintable()), message
    assert time.monotonic() - began < SLOW_S
    return message is None


def opened(content):
    """What a file with a checksum holds, and what makes a file of that, with the checksum made anew."""
    if content.startswith(b"["):
        return [json.loads(line)[1] for line in content.splitlines()], lines_of
    if content.startswith(b"{"):
        record = json.loads(content)
        return {key: record[key] for key in record if key != CHECKSUM}, encode
    arrays, text = files.decode(content)
    record, close = opened(text)
    return record, lambda record: to_bytes(arrays, {files.RECORD: close(record).decode(), files.DTYPES: "{}"})


def places_in(content):
    """The containers in a document, each with a key of it."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


def bent(content, rng):
    """A file with another value or name at some place, or with an item twice or missing."""
    whole, close = opened(content)
    places = list(places_in(whole))
    parent, key = places[int(len(places) * rng.random() ** 3)]  # more often of those that stand first
    action = rng.choice(["replace", "replace", "replace", "delete", "rename", "repeat"])
    value = VALUES[rng.integers(len(VALUES))]
    if action == "delete":
        del parent[key]
    elif action == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif action == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[key] = HOLE if isinstance(value, bytes) else value
    return close(whole).replace(b'"%s"' % HOLE.encode(), value if isinstance(value, bytes) else b"")


def test_a_damaged_file_is_taken_whole_or_refused_in_a_sentence(good, rng, quick_bootstrap, capsys):
    name, path, content, use = good
    for _ in range(TRIED):
        at = int(rng.integers(len(content)))
        flipped = content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]
        spoiled = (b"", content[:at], flipped, content + content, content[:at] + rng.bytes(5) + content[at:],
                   b"\xef\xbb\xbf" + content, content.decode("latin1").encode("utf-16"))  # fmt: skip
        is_bent = name in SEALED and rng.random() < 0.7
        path.write_bytes(bent(content, rng) if is_bent else spoiled[rng.integers(len(spoiled))])
        is_taken(path, use)
    path.write_bytes(content)
    assert is_taken(path, use)
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize("good", SEALED, indirect=True)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_file_of_which_any_value_was_changed_is_refused(good, data):
    _, path, content, use = good
    whole, close = opened(content)
    leaves = [(parent, key) for parent, key in places_in(whole) if not isinstance(parent[key], dict | list)]
    parent, key = data.draw(st.sampled_from(leaves))
    old = parent[key]
    parent[key] = (
        not old if isinstance(old, bool) else f"{old}x" if isinstance(old, str) else (old or 0.0) * 1.01 + 1e-3
    )
    changed = close(whole)
    for anew, written in zip(*(re.findall(rb"[0-9a-f]{64}", of) for of in (changed, content)), strict=True):
        changed = changed.replace(anew, written)
    path.write_bytes(changed)
    with pytest.raises(TrigruError, match="changed after trigru wrote it|schema"):
        use(path)


@pytest.mark.parametrize("good", ["results", "cold starts", "matrix"], indirect=True)
def test_other_whitespace_and_order_of_keys_and_floats_in_17_digits_are_no_change(good):
    _, path, content, use = good
    backwards = json.loads(content, object_pairs_hook=lambda pairs: dict(pairs[::-1]))
    text = json.dumps(backwards, indent=5)
    path.write_text(re.sub(r"(?<= )\d+\.\d+(?=,?\n)", lambda m: f"{float(m[0]):.17g}", text))
    use(path)


STRANGE = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a loop of links": lambda path: os.symlink(path, path),
    "an endless device": lambda path: os.symlink("/dev/zero", path),
    "nothing": lambda path: None,
    "a huge file": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_of_a_bounded_size_is_refused_at_once(reader, strange, tmp_path):
    name, _, use = READERS[reader]
    STRANGE[strange](tmp_path / name)
    assert not is_taken(tmp_path / name, use)

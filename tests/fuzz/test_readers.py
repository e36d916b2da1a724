"""Files that are nearly right, to every reader: it takes them whole, or says in a sentence what is wrong."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes
from support.files import lines_of
from support.processes import fill, journal_at
from support.runs import ENDED, draw_run, save
from support.snapshots import leave
from trigru.bench.analysis.merge import load
from trigru.bench.commands.report import show_run, show_starts
from trigru.bench.results.lines import CHECKSUM, with_checksum
from trigru.bench.upgrades import files, matrix
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.tables import matrix_tables
from trigru.common.config import GRUConfig
from trigru.common.errors import TrigruError
from trigru.common.parameters.record import random_params
from trigru.impls.checkpoints import read, write

SLOW_S, TRIED = 10, 40
COLD_STARTS = Path(__file__).parents[2] / "docs" / "results" / "cold_start.json"
RUN, PARAMS = draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "tiny/step")), random_params(GRUConfig(2, 3))
ARRAYS = {files.name_of(array): array for array in (np.linspace(0.0, 1.0, 3),)}
PURE = Subject("pure", "pure", values={"forward jit": dict.fromkeys(["carry"], *ARRAYS)}, tree={".w": "float32(2,)"})
ROW = matrix.Row("2025-01-15", [], "2025-01-15", versions={"jax": "0.5.0"}, seconds=[1.5, 20.0])
MATRIX = matrix.Matrix(matrix.SCHEMA, ["trigru", "matrix"], ENDED, "A CPU", [ROW])
#: In place of a value: what JSON can say, and what no file of trigru has.
VALUES = (
    -1, 0, 3, 1e-300, 1e308, -0.0, None, True, 1.5, [], {}, [[]], "", "\x1b[31mred\x9b", "<script>alert(1)</script>",
    "pure", "../../etc", "baseline", "x" * 100_000, "\u202e", "2026-99-99", "fused",
)  # fmt: skip
NO_VALUES = (b"NaN", b"1e400", b"9" * 400, b"[" * 20_000 + b"]" * 20_000, b'"\\ud800"', b'{"a": 1, "a": 2}')


def show_all(path):
    run = load(path)
    show_run(run, details=True)
    show_run(run, json=True)


#: By name of a file, what writes a good one, and what reads and shows it.
READERS = {
    "results.json": (lambda path: save(RUN, path), show_all),
    "results.partial.jsonl": (lambda path: fill(journal_at(path)), show_all),
    files.FILE: (lambda path: leave(path.parent, PURE, arrays=ARRAYS), lambda path: files.load(path.parent)),
    "cold_start.json": (lambda path: shutil.copy(COLD_STARTS, path), lambda path: show_starts(path, None)),
    "matrix.json": (
        lambda path: path.write_bytes(with_checksum(MATRIX)),
        lambda path: matrix_tables(matrix.read(path)),
    ),
    "params.safetensors": (lambda path: write(path, PARAMS, "canonical"), read),
    "params.msgpack": (lambda path: write(path, PARAMS, "linen"), read),
    "params.eqx": (lambda path: write(path, PARAMS, "equinox"), read),
}
SEALED = [*READERS][:5]


@pytest.fixture(scope="module", params=READERS)
def good(request, tmp_path_factory):
    """A file that a reader takes, its content, and what reads it."""
    path = tmp_path_factory.mktemp("good") / request.param
    make, use = READERS[request.param]
    make(path)
    return path, path.read_bytes(), use


def is_taken(path, use):
    """Whether a file is taken; fails if it is refused in anything but a sentence, or slowly."""
    began, message = time.monotonic(), "it is taken"
    try:
        use(path)
    except TrigruError as error:
        message = str(error)
    assert 0 < len(message) <= 2000
    assert message.isprintable(), message
    assert time.monotonic() - began < SLOW_S
    return message == "it is taken"


def opened(content):
    """What a file with a checksum has, and what makes a file of that, with the checksum made anew."""
    if content.startswith(b"["):
        return [json.loads(line)[1] for line in content.splitlines()], lines_of
    if content.startswith(b"{"):
        return {key: value for key, value in json.loads(content).items() if key != CHECKSUM}, encode
    arrays, text = files.decode(content)
    record, close = opened(text)
    return record, lambda record: to_bytes(arrays, {files.RECORD: close(record).decode(), files.DTYPES: "{}"})


def places_in(content):
    """The containers in a document, each with a key of it."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


#: What may stand in place of a file, none of a bounded size: a pipe, a folder, a loop, an endless device, or nothing.
STRANGE = (
    os.mkfifo, lambda path: os.symlink(path, path), lambda path: os.symlink("/dev/zero", path), lambda path: None,
    lambda path: (path.touch(), os.truncate(path, 2**40)), os.mkdir,
)  # fmt: skip


def spoiled(content, rng):
    """A file with other bytes: cut, lengthened, encoded otherwise, or with something that is no value of JSON."""
    at, value = int(rng.integers(len(content))), rng.choice(list(re.finditer(rb'"[^"]*"|[-+.\de]+', content))).span()
    flipped = bytes([content[at] ^ 1 << int(rng.integers(8))])
    kinds = [b"", content[:at], content + content, b"\xef\xbb\xbf" + content, content.decode("latin1").encode("utf-16"),
             content[:at] + flipped + content[at + 1 :], content[:at] + rng.bytes(5) + content[at:]]  # fmt: skip
    kinds += [content[: value[0]] + other + content[value[1] :] for other in NO_VALUES]
    return kinds[rng.integers(len(kinds))]


def bent(content, rng, actions=("replace", "replace", "replace", "delete", "rename", "repeat")):
    """A file with another value or name at some place, or with an item twice or missing; its checksum is made anew."""
    whole, close = opened(content)
    places = list(places_in(whole))
    parent, key = places[int(len(places) * rng.random() ** 3)]  # more often of those that stand first
    match rng.choice(actions):
        case "delete":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[f"{key}_"] = parent.pop(key)
        case "repeat" if isinstance(parent, list):
            parent.insert(key, parent[key])
        case _:
            parent[key] = VALUES[rng.integers(len(VALUES))]
    return close(whole)


def test_a_damaged_or_strange_file_is_taken_whole_or_refused_in_a_sentence(good, rng, quick_bootstrap, capsys):
    path, content, use = good
    for _ in range(TRIED):
        damage = bent if path.name in SEALED and rng.random() < 0.7 else spoiled
        path.write_bytes(damage(content, rng))
        is_taken(path, use)
    path.write_bytes(content)
    assert is_taken(path, use)
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    for make in STRANGE:
        path.unlink(missing_ok=True)
        make(path)
        assert not is_taken(path, use)
        path.rmdir() if path.is_dir() else None


@pytest.mark.parametrize("good", SEALED, indirect=True)
def test_a_file_of_which_any_value_was_changed_is_refused(good, rng):
    path, content, use = good
    for changed in (bent(content, rng, ["replace"]) for _ in range(TRIED)):
        if opened(changed)[0] != opened(content)[0]:
            for anew, written in zip(*(re.findall(rb"[0-9a-f]{64}", of) for of in (changed, content)), strict=True):
                changed = changed.replace(anew, written)
            path.write_bytes(changed)
            with pytest.raises(TrigruError, match="changed after trigru wrote it|schema"):
                use(path)

"""Files that are nearly right, to every reader: it takes them whole, or says in a sentence what is wrong."""

import copy
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from support.processes import fill, journal_at
from support.runs import draw_run, save
from support.snapshots import snapshot_of
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.starts import load_starts
from trigru.bench.commands.report import show_run, show_starts
from trigru.bench.upgrades import files
from trigru.bench.upgrades.record import Subject
from trigru.common.config import GRUConfig
from trigru.common.errors import TrigruError
from trigru.common.parameters.record import random_params
from trigru.impls.checkpoints import read, write

ROOT = Path(__file__).parents[2]
SLOW_S, TRIED = 10, 40
#: In place of a value; some are no JSON.
VALUES = (
    "-1", "0", "3", "1e-300", "1e308", "-0.0", "NaN", "1e400", "9" * 400, "null", "true", "1.5", "[]", "{}", "[[]]",
    "[" * 20_000 + "]" * 20_000, '""', '"\\u001b[31mred\\u009b"', '"\\ud800"', '"<script>alert(1)</script>"', '"pure"',
    '"../../etc"', '"baseline"', f'"{"x" * 100_000}"', '"\\u202e"', '{"a": 1, "a": 2}', '"2026-99-99"', '"fused"',
)  # fmt: skip
PARAMS = random_params(GRUConfig(2, 3))


def damaged(content, rng):
    """The bytes of a file: cut off, flipped, doubled, or with another value or name at some place of its JSON."""
    place = int(rng.integers(len(content)))
    flipped = content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]
    spoiled = (b"", content[:place], flipped, content + content, content[:place] + rng.bytes(5) + content[place:],
               b"\xef\xbb\xbf" + content, content.decode("latin1").encode("utf-16"))  # fmt: skip
    lines = content.splitlines()
    if rng.random() < 0.3 or not lines[0].startswith(b"{"):
        return spoiled[rng.integers(len(spoiled))]
    number = int(rng.integers(len(lines)))
    whole = json.loads(lines[number])
    parent, key = somewhere(whole, rng)
    action, hole = rng.choice(["replace", "replace", "replace", "delete", "rename", "repeat", "exchange"]), "<hole>"
    if action == "delete":
        del parent[key]
    elif action == "rename" and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif action == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif action == "exchange":
        other, place = somewhere(whole, rng)
        parent[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(parent[key])
    else:
        parent[key] = hole
    lines[number] = json.dumps(whole).replace(f'"{hole}"', VALUES[rng.integers(len(VALUES))]).encode()
    return b"\n".join(lines) + b"\n"


def somewhere(content, rng):
    """A container within a document, and a key of it."""
    found, node = [], content
    while isinstance(node, dict | list) and node:
        key = list(node)[rng.integers(len(node))] if isinstance(node, dict) else int(rng.integers(len(node)))
        found.append((node, key))
        node = node[key]
    return found[int(np.sqrt(rng.random()) * len(found))]


def show_all(path):
    run = load(path)
    show_run(run, details=True)
    show_run(run, json=True)


def write_results(path):
    save(draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "tiny/step")), path)


def write_journal(path):
    fill(journal_at(path))


def write_snapshot(path):
    array = np.linspace(0.0, 1.0, 3)
    facts = {"values": {"forward jit": {"carry": files.name_of(array)}}, "tree": {".w": "float32(2,)"}}
    files.save(path.parent, snapshot_of(Subject("pure", "pure", **facts)), {files.name_of(array): array})


def write_starts(path):
    content = json.loads((ROOT / "docs" / "results" / "cold_start.json").read_bytes())
    path.write_bytes(json.dumps(content).encode())


#: Name of the file, what writes a good one, and what reads and shows it.
READERS = {
    "results": ("results.json", write_results, show_all),
    "journal": ("results.partial.jsonl", write_journal, show_all),
    "snapshot": (files.FILE, write_snapshot, lambda path: files.load(path.parent)),
    "cold starts": ("cold_start.json", write_starts, lambda path: (load_starts(path), show_starts(path, None))),
    "safetensors": ("params.safetensors", lambda path: write(path, PARAMS, "canonical"), read),
    "msgpack": ("params.msgpack", lambda path: write(path, PARAMS, "linen"), read),
    "eqx": ("params.eqx", lambda path: write(path, PARAMS, "equinox"), read),
}


def is_taken(path, use):
    """Whether a file is taken; fails if it is refused in anything but a sentence, or slowly."""
    began = time.monotonic()
    message = None
    try:
        use(path)
    except TrigruError as error:
        message = str(error)
    assert message is None or (0 < len(message) <= 2000 and "\n" not in message), message
    assert time.monotonic() - began < SLOW_S
    return message is None


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_taken_whole_or_refused_in_a_sentence(reader, tmp_path, rng, quick_bootstrap, capsys):
    name, write_good, use = READERS[reader]
    path = tmp_path / name
    write_good(path)
    good = path.read_bytes()
    assert is_taken(path, use)
    for _ in range(TRIED):
        path.write_bytes(damaged(good, rng))
        is_taken(path, use)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()


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

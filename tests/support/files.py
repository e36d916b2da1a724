"""Files of trigru: a good one of each format, and what changes their content."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import save as to_bytes
from trigru.bench.upgrades import matrix
from trigru.bench.upgrades.record import Observation, Program, Subject, Trail
from trigru.bench.upgrades.snapshot_file import (
    DTYPES,
    FILE,
    RECORD,
    ArrayStore,
    decode,
)
from trigru.bench.upgrades.steps import SIGNATURE
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.impls import checkpoints

from .processes import fill, journal_at
from .runs import ENDED, PROOF, draw_run, save, with_provenance
from .snapshots import leave

#: A signature of each of two values, and numbers of steps, good ones and bad ones; the
#: arrays of a good snapshot.
SIGNATURES, STEPS = np.ones((2, SIGNATURE)), np.array([0, 1, 1, 0, 1], np.int32)
BAD_ARRAYS = {
    "line": STEPS + 1,
    "number": STEPS * 9,
    "cut": STEPS[:4],
    "floats": SIGNATURES[0],
    "few": SIGNATURES[:, :4],
}
DRAWN = np.eye(6, dtype="float32")
CALL, PARAMS = "forward apply float32", random_params(GRUConfig(2, 3))


def write_run(path: Path) -> None:
    run = draw_run(1, processes=2, rounds=3, groups=("tiny/forward", "medium/forward"))
    save(with_provenance(run, equality=PROOF[:12]), path)


def write_snapshot(path: Path) -> None:
    """A snapshot of linen; beside its arrays it has those that would be wrong."""
    store = ArrayStore()
    for array in BAD_ARRAYS.values():
        store.keep(array)
    drawn = store.keep(DRAWN)
    lines = ["a.py:1 (add of shape 3)"]
    forward = Observation(
        exact_results={"carry": drawn},
        trail=Trail(lines, store.keep(STEPS), store.keep(SIGNATURES)),
    )
    called = Observation(results={"carry": drawn}, program=Program(dots=2))
    gru = Observation(draws={".w": drawn})
    observations = {"gru": gru, "forward": forward, CALL: called}
    linen = Subject("linen", "linen", observations=observations)
    leave(path.parent, linen, arrays=store)


def write_matrix(path: Path) -> None:
    rows = []
    for number in (1, 2):
        row = matrix.MatrixRow(
            f"jax=={number}",
            [],
            "2025-01-15",
            python="3.13",
            versions={"jax": "0.5.0"},
            seconds=[1.5, 20.0],
            counts={"pure": {"calls": 1}},
            facts={"pure": matrix.Facts("yes", 9)},
        )
        rows.append(row)
    command = ["trigru", "matrix"]
    content = matrix.Matrix(matrix.SCHEMA, command, ENDED, "A CPU", rows)
    path.write_bytes(msgspec.json.encode(content))


#: By name of a file, what writes a good one: first of those with a schema.
SEALED: dict[str, Callable[[Path], object]] = {
    "results.json": write_run,
    "results.partial.jsonl": lambda path: fill(journal_at(path)),
    FILE: write_snapshot,
    "matrix.json": write_matrix,
}
GOOD = SEALED | {
    "params.safetensors": lambda path: checkpoints.write(path, PARAMS, "canonical"),
    "params.msgpack": lambda path: checkpoints.write(path, PARAMS, "linen"),
    "params.eqx": lambda path: checkpoints.write(path, PARAMS, "equinox"),
}


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a file."""
    content, close = opened(path.read_bytes())
    change(content)
    path.write_bytes(close(content))


def opened(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """What a file holds, and what makes a file of that."""
    if content.startswith(b'{"type"'):
        return [json.loads(line) for line in content.splitlines()], lines_of
    if content.startswith(b"{"):
        return json.loads(content), msgspec.json.encode
    arrays, text = decode(content)
    record, close = opened(text)
    return record, lambda record: to_bytes(
        arrays, {RECORD: close(record).decode(), DTYPES: "{}"}
    )


def at(place: str, change: Any) -> Callable[[Any], None]:
    """A change of all that a path of keys leads to, in each item at a star: facts to
    update, or a function to call.
    """

    def of(content: Any) -> None:
        found = [content]
        for key in place.split():
            if key == "*":
                items = (
                    record.values() if isinstance(record, dict) else record
                    for record in found
                )
                found = [inner for record in items for inner in record]
            else:
                found = [
                    record[int(key) if isinstance(record, list) else key]
                    for record in found
                ]
        for record in found:
            change(record) if callable(change) else record.update(change)

    return of


def lines_of(records: Iterable[Any]) -> bytes:
    """A journal with these lines."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)

"""The file of a snapshot: whole or not at all, and damage is told."""

import os

import ml_dtypes
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades import files
from trigru.bench.upgrades.files import FILE, SnapshotError, encode, is_snapshot, load, name_of, save
from trigru.bench.upgrades.record import Subject

ARRAYS = {name_of(array): array for array in (np.linspace(0, 1, 7), np.ones(3, ml_dtypes.bfloat16))}
SUBJECT = Subject("pure", "pure", values={"forward jit": {"carry": next(iter(ARRAYS))}})


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "snapshot", snapshot_of(SUBJECT), ARRAYS)
    return tmp_path / "snapshot"


def test_what_is_written_is_read_and_replaced_and_nothing_else_is(folder):
    (folder / "results.json").write_text("hours of measuring")
    for snapshot in (snapshot_of(SUBJECT), snapshot_of()):
        save(folder, snapshot, ARRAYS)
        read, arrays = load(folder)
        assert read == snapshot
        assert {name: (a.dtype, a.tolist()) for name, a in arrays.items()} == {
            name: (a.dtype, a.tolist()) for name, a in ARRAYS.items()
        }
    assert sorted(os.listdir(folder)) == ["results.json", FILE]
    assert is_snapshot(folder)


@pytest.mark.parametrize("fact", ["values", "checkpoints", "draws"])
def test_a_named_array_that_is_missing_is_damage(folder, fact):
    save(folder, snapshot_of(Subject("pure", "pure", **{fact: {"of": {"bias": name_of(np.ones(2))}}})), ARRAYS)
    with pytest.raises(SnapshotError, match="is missing"):
        load(folder)


def test_damage_and_another_schema_are_a_sentence(folder, monkeypatch):
    content = (folder / FILE).read_bytes()
    for damaged, said in (
        (b"\xff" * 64, "it is no snapshot"),
        (content[:-1], "it is no snapshot"),
        (encode(ARRAYS), "it is no JSON"),
        (content[:-3] + bytes([content[-3] ^ 1]) + content[-2:], "was changed after"),
    ):
        (folder / FILE).write_bytes(damaged)
        with pytest.raises(SnapshotError, match=said):
            load(folder)
    (folder / FILE).write_bytes(content)
    monkeypatch.setattr(files, "SCHEMA", 99)
    with pytest.raises(SnapshotError, match="schema 6, expected 99"):
        load(folder)


def test_a_folder_without_one_is_told(tmp_path):
    assert not is_snapshot(tmp_path)
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SnapshotError, match=r"No such file.*Pass a folder that trigru snapshot wrote"):
            load(place)

"""The folder of a snapshot: whole or not at all, and damage is told."""

import os

import numpy as np
import pytest
from support.runs import MACHINE
from support.snapshots import snapshot_of
from trigru.bench.upgrades.folder import ARRAYS, CHECKPOINTS, FILE, SnapshotError, load, name_of, save, snapshot_in
from trigru.bench.upgrades.reading import unread
from trigru.bench.upgrades.record import SCHEMA, Snapshot, Subject
from trigru.common.config import GRUConfig
from trigru.common.parameters.layouts import CANONICAL
from trigru.common.parameters.record import random_params
from trigru.impls import checkpoints

ARRAY = np.linspace(0, 1, 7)


def a_snapshot():
    subject = Subject("pure", "pure", values={"forward jit float64": {"carry": name_of(ARRAY)}})
    return Snapshot(SCHEMA, ["trigru", "snapshot"], "", MACHINE, None, [], [subject])


@pytest.fixture
def folder(tmp_path):
    with snapshot_in(tmp_path / "snapshot") as beside:
        save(beside, a_snapshot(), {name_of(ARRAY): ARRAY})
    return tmp_path / "snapshot"


def test_what_is_written_is_read(folder):
    snapshot, arrays = load(folder)
    assert snapshot == a_snapshot()
    assert np.array_equal(arrays[name_of(ARRAY)], ARRAY)
    assert sorted(os.listdir(folder)) == [FILE, ARRAYS]


def test_a_snapshot_is_replaced_and_nothing_else_is(folder):
    (folder / "results.json").write_text("hours of measuring")
    (folder / "checkpoints").mkdir()
    with snapshot_in(folder) as beside:
        save(beside, Snapshot(SCHEMA, ["again"], "", MACHINE, None, [], []), {})
        (beside / CHECKPOINTS).mkdir()
    assert load(folder)[0].command == ["again"]
    assert sorted(os.listdir(folder)) == sorted([FILE, ARRAYS, CHECKPOINTS, "results.json", "checkpoints"])
    assert (folder / "results.json").read_text() == "hours of measuring"
    with snapshot_in(folder) as beside:
        save(beside, a_snapshot(), {name_of(ARRAY): ARRAY})
    assert not (folder / CHECKPOINTS).exists(), "those of an earlier snapshot"


def test_what_cannot_be_exchanged_leaves_the_earlier_snapshot(folder, monkeypatch):
    rename, done = os.rename, []

    def fail_late(*places):
        done.append(places)
        if len(done) == 4:
            raise OSError("no space left")
        rename(*places)

    monkeypatch.setattr(os, "rename", fail_late)

    def replace():
        with snapshot_in(folder) as beside:
            (beside / CHECKPOINTS).mkdir()
            save(beside, Snapshot(SCHEMA, ["again"], "", MACHINE, None, [], []), {})

    with pytest.raises(OSError, match="no space"):
        replace()
    assert load(folder)[0] == a_snapshot()
    assert not (folder / CHECKPOINTS).exists()


def test_files_of_that_name_that_are_somebodys_own_stay(tmp_path):
    (tmp_path / FILE).write_text('{"mine": 1}')
    with pytest.raises(SnapshotError, match="of no snapshot"), snapshot_in(tmp_path):
        pass
    assert (tmp_path / FILE).read_text() == '{"mine": 1}'


def test_what_is_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "work" / CHECKPOINTS).mkdir(parents=True)
    for path in (tmp_path / "file", tmp_path / "work"):
        with pytest.raises(SnapshotError, match="Choose another"), snapshot_in(path):
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_named_array_that_is_missing_is_damage(folder):
    save(folder, a_snapshot(), {})
    with pytest.raises(SnapshotError, match="is missing"):
        load(folder)


def test_an_array_that_a_checkpoint_alone_names_is_missed_too(folder):
    snapshot = snapshot_of(Subject("linen", "linen"))
    snapshot.subjects[0].checkpoints = {"linen.safetensors": {"bias": name_of(np.ones(3))}}
    save(folder, snapshot, {})
    with pytest.raises(SnapshotError, match="is missing"):
        load(folder)


def test_what_fails_leaves_the_earlier_snapshot(folder):
    def fail():
        with snapshot_in(folder) as beside:
            (beside / FILE).write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert load(folder)[0] == a_snapshot()
    assert sorted(os.listdir(folder)) == [FILE, ARRAYS]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (FILE, b"{", "not of a snapshot"),
        (FILE, b'{"schema": 99}', "schema 99, expected 3"),
        (ARRAYS, b"\xff" * 64, "not of a snapshot"),
    ],
)
def test_damage_is_a_sentence(folder, file, content, said):
    (folder / file).write_bytes(content)
    with pytest.raises(SnapshotError, match=said):
        load(folder)


def test_a_flipped_bit_of_an_array_is_damage(folder):
    content = bytearray((folder / ARRAYS).read_bytes())
    content[-3] ^= 1
    (folder / ARRAYS).write_bytes(content)
    with pytest.raises(SnapshotError, match="is damaged"):
        load(folder)


def test_a_folder_without_one_is_told(tmp_path):
    with pytest.raises(SnapshotError, match="Pass a folder that trigru snapshot wrote"):
        load(tmp_path)
    with pytest.raises(SnapshotError, match="No such file"):
        load(tmp_path / "absent")


# Checkpoints ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A folder with a checkpoint, and the snapshot that names it."""
    params = random_params(GRUConfig(4, 3), 5)
    (tmp_path / CHECKPOINTS).mkdir()
    checkpoints.write(tmp_path / CHECKPOINTS / "linen.safetensors", params, "linen")
    arrays = {name: name_of(array) for name, array in CANONICAL.flat(params).items()}
    return tmp_path, snapshot_of(Subject("linen", "linen", checkpoints={"linen.safetensors": arrays}))


def test_a_checkpoint_that_reads_as_it_was_is_no_change(kept):
    assert list(unread(*kept)) == []


def test_a_checkpoint_with_other_bits_is_told(kept):
    folder, snapshot = kept
    checkpoints.write(folder / CHECKPOINTS / "linen.safetensors", random_params(GRUConfig(4, 3)), "linen")
    (found,) = unread(folder, snapshot)
    assert (found.kind, found.subject) == ("checkpoints", "linen")
    assert "other bits in weight_ih" in found.new


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", b"\x80\x04\x95pickle"])
def test_a_damaged_checkpoint_is_told(kept, content):
    folder, snapshot = kept
    (folder / CHECKPOINTS / "linen.safetensors").write_bytes(content)
    (found,) = unread(folder, snapshot)
    assert "not a readable safetensors file" in found.new


@pytest.mark.parametrize("file", ["../linen.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", ""])
def test_a_name_that_leads_elsewhere_is_not_opened(kept, file, monkeypatch):
    folder, snapshot = kept
    snapshot.subjects[0].checkpoints = {file: {}}
    monkeypatch.setattr(checkpoints, "read", None)
    (found,) = unread(folder, snapshot)
    assert found.new == "its name leads to another folder"


def test_a_link_is_not_followed(kept, tmp_path_factory):
    folder, snapshot = kept
    file = folder / CHECKPOINTS / "linen.safetensors"
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "linen.safetensors"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    (found,) = unread(folder, snapshot)
    assert found.new == "its name leads to another folder"


def test_a_pickle_is_not_read(kept, monkeypatch):
    folder, snapshot = kept
    (folder / CHECKPOINTS / "linen.pt").write_bytes(b"\x80\x04.")
    snapshot.subjects[0].checkpoints = {"linen.pt": {}}
    monkeypatch.setattr(checkpoints, "read", None)
    assert list(unread(folder, snapshot)) == []

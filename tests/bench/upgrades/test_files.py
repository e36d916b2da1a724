"""The file of a snapshot, whole or not at all; and other files of a package under the same version."""

import os
from itertools import count

import ml_dtypes
import numpy as np
import pytest
from msgspec.structs import replace
from support.runs import MACHINE
from support.snapshots import snapshot_of
from trigru.bench.upgrades import installed, record
from trigru.bench.upgrades.changes import changes
from trigru.bench.upgrades.installed import edited, sources_of, unnamed
from trigru.bench.upgrades.record import (
    Change,
    Kept,
    SnapshotError,
    Subject,
    Trail,
    is_snapshot,
    load,
    name_of,
    save,
)
from trigru.bench.upgrades.tables import files_line, files_table

ARRAYS = {
    name_of(array): array
    for array in (np.linspace(0, 1, 7), np.ones(3, ml_dtypes.bfloat16))
}
SUBJECT = Subject("pure", "pure", values={"forward jit": {"carry": next(iter(ARRAYS))}})
CODE = "import os\n\n\ndef f(x):\n    return x + 1\n\n\ndef g(x):\n    return x\n"
VERSION = count()


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
        found, written = (
            {name: (a.dtype, a.tolist()) for name, a in of.items()}
            for of in (arrays, ARRAYS)
        )
        assert found == written
    assert sorted(os.listdir(folder)) == ["results.json", record.FILE]
    assert (is_snapshot(folder), is_snapshot(folder.parent)) == (True, False)


@pytest.mark.parametrize("fact", ["values", "checkpoints", "draws"])
def test_a_named_array_that_is_missing_or_changed_is_damage(folder, fact):
    save(
        folder,
        snapshot_of(
            Subject("pure", "pure", **{fact: {"of": {"bias": name_of(np.ones(2))}}})
        ),
        ARRAYS,
    )
    with pytest.raises(SnapshotError, match="is missing"):
        load(folder)
    save(folder, snapshot_of(SUBJECT), dict.fromkeys(ARRAYS, np.ones(2)))
    with pytest.raises(SnapshotError, match="was changed"):
        load(folder)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes an installed package of two modules and a test; returns what a snapshot of it would have."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / f"mine{next(VERSION)}-1.0.dist-info"
    name = info.name.partition("-")[0]
    monkeypatch.setattr(installed, "PACKAGES", [name])
    info.mkdir()

    def snapshot(version="1.0", **files):
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        paths = {
            f"{name}/{path.replace('_of_', '/')}.py": content
            for path, content in files.items()
        }
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in paths))
        for path, content in paths.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        kept = Kept()
        taken = snapshot_of(
            machine=replace(MACHINE, versions=MACHINE.versions | {name: version})
        )
        return replace(taken, sources=sources_of([name], kept)), kept

    return snapshot, name


def test_the_first_line_that_differs_is_named(package):
    snapshot, name = package
    was = snapshot(a=CODE, b=CODE, tests_of_c=CODE)
    assert not list(edited(was, snapshot(a=CODE, b=CODE, tests_of_c="other")))
    (change,) = changes(
        was,
        snapshot(a=CODE, b=CODE.replace("return x\n", "return -x\n"), tests_of_c=CODE),
    )
    assert (change.kind, change.subject, change.line) == (
        "code",
        name,
        f"{name}/b.py:9",
    )
    found = edited(was, snapshot(a=CODE.replace("x + 1", "x + 2"), b="\n" + CODE))
    assert [change.line for change in found] == [f"{name}/a.py:5", f"{name}/b.py:1"]
    for code, line in ((CODE + "1", 10), (CODE[:-1], 9)):
        (change,) = edited(was, snapshot(a=code, b=CODE))
        assert change.line == f"{name}/a.py:{line}"


@pytest.mark.parametrize(("files", "other"), [({"a": CODE}, ["b"]), ({}, ["a", "b"])])
def test_files_that_are_gone_or_new_are_named(package, files, other):
    snapshot, name = package
    was, now = snapshot(a=CODE, b=CODE), snapshot(**files)
    assert [change.line for change in edited(was, now)] == [
        f"{name}/{file}.py (is gone)" for file in other
    ]
    assert [change.line for change in edited(now, was)] == [
        f"{name}/{file}.py (is new)" for file in other
    ]


def test_another_version_has_other_files_that_are_listed_where_no_change_names_them(
    package,
):
    snapshot, name = package
    old = snapshot(a=CODE, b=CODE, c=CODE, a_of_version=CODE, ab=CODE)
    trail = Trail([f"{name}/c.py:1 (mul of shape 4)"], "", "")
    newer = snapshot(
        "1.1", a=CODE + "1", c=CODE + "1", a_of_version=CODE + "1", ab=CODE, d=CODE
    )
    new = (
        replace(
            newer[0], subjects=[Subject("mine", "mine", trails={"forward": trail})]
        ),
        newer[1],
    )
    assert not list(edited(old, new))
    places = [
        f"{name}/{file}"
        for file in ("c.py:10", "a.py:10", "b.py (is gone)", "d.py (is new)")
    ]
    assert unnamed(old, new, []) == {name: places}
    named = Change("function", "mine", "it", "", "2", f"{name}/a.py:3 (mul)")
    assert unnamed(old, new, [named]) == {name: [places[0], *places[2:]]}
    assert unnamed(old, snapshot(a="1"), []) == {}
    versions = [
        snapshot(version, __init__=f"{CODE}__version__ = '{version}'\n")
        for version in ("1.0", "1.1")
    ]
    assert unnamed(*versions, []) == {}
    assert unnamed(versions[0], snapshot("1.1", __init__=3 * CODE), []) == {
        name: [f"{name}/__init__.py:10"]
    }
    (line,) = files_line({name: places, "other": ["x.py:1"] * 7})
    assert line.endswith(
        f": 4 files of {name} ({', '.join(places)}); 7 files of other (x.py:1, x.py:1, and 5 more)."
    )
    assert files_line({}) == files_table({}) == []

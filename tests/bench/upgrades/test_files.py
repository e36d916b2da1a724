"""The file of a snapshot, whole or not at all; and other files of a package under the
same version.
"""

import os
from itertools import count

import ml_dtypes
import numpy as np
import pytest
from msgspec.structs import replace
from support.runs import MACHINE
from support.snapshots import machine_with, snapshot_of
from trigru.bench.upgrades import installed
from trigru.bench.upgrades.changes import compare_snapshots
from trigru.bench.upgrades.installed import (
    edited_files,
    sources_of,
    unexplained_files,
)
from trigru.bench.upgrades.record import (
    Change,
    Observation,
    SnapshotError,
    Subject,
    Trail,
)
from trigru.bench.upgrades.snapshot_file import (
    FILE,
    ArrayStore,
    Loaded,
    is_snapshot,
    load,
    save,
)
from trigru.bench.upgrades.words import files_line

STORE = ArrayStore()
CARRY = STORE.keep(np.linspace(0, 1, 7))
HALF = STORE.keep(np.ones(3, ml_dtypes.bfloat16))
SUBJECT = Subject("pure", "pure", observations={"it": Observation({"w": CARRY})})
CODE = "import os\n\n\ndef f(x):\n    return x + 1\n"
NUMBERS = count()


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "snapshot", snapshot_of(SUBJECT), STORE)
    return tmp_path / "snapshot"


@pytest.mark.parametrize("snapshot", [snapshot_of(SUBJECT), snapshot_of()])
def test_what_is_written_is_read_and_replaced_and_nothing_else_is(folder, snapshot):
    (folder / "results.json").write_text("hours of measuring")
    save(folder, snapshot, STORE)
    loaded = load(folder)
    assert loaded.snapshot == snapshot
    assert loaded.arrays.keys() == STORE.keys()
    for name, array in STORE.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert np.array_equal(loaded.arrays[name], array)
    assert sorted(os.listdir(folder)) == ["results.json", FILE]
    assert is_snapshot(folder)
    assert not is_snapshot(folder.parent)


@pytest.mark.parametrize("field", ["draws", "results", "exact_results"])
def test_an_array_that_is_named_and_missing_is_damage(folder, field):
    observation = Observation(**{field: {"bias": "0123456789abcdef"}})
    subject = Subject("pure", "pure", observations={"it": observation})
    save(folder, snapshot_of(subject), STORE)
    with pytest.raises(SnapshotError, match="is missing"):
        load(folder)


def test_an_array_that_was_changed_is_damage(folder):
    save(folder, snapshot_of(SUBJECT), {CARRY: np.ones(2)})
    with pytest.raises(SnapshotError, match="was changed"):
        load(folder)


class Package:
    """A package that is installed in a folder, of a name of its own."""

    def __init__(self, folder):
        self.name = f"mine{next(NUMBERS)}"
        self._folder = folder
        self._info = folder / f"{self.name}-1.0.dist-info"
        self._info.mkdir()

    def snapshot(self, files, version="1.0", subjects=()):
        """The snapshot that is taken with these files, by their names without .py."""
        head = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {version}\n"
        (self._info / "METADATA").write_text(head)
        record = []
        for file, content in files.items():
            path = self._folder / self.name / f"{file}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            record.append(f"{self.name}/{file}.py,,\n")
        (self._info / "RECORD").write_text("".join(record))
        machine = machine_with(MACHINE.versions | {self.name: version})
        taken = snapshot_of(*subjects, machine=machine)
        return replace(taken, sources=sources_of([self.name]))


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = Package(tmp_path)
    monkeypatch.setattr(installed, "PACKAGES", [package.name])
    return package


def test_a_file_with_other_code_under_the_same_version_is_named(package):
    old = package.snapshot({"a": CODE, "b": CODE})
    new = package.snapshot({"a": CODE, "b": "other"})
    (change,) = compare_snapshots(Loaded(old, {}), Loaded(new, {}))
    assert change.kind == "code"
    assert change.subject == package.name
    assert change.new == f"{package.name}/b.py"


def test_tests_of_a_package_do_not_count(package):
    old = package.snapshot({"a": CODE, "tests/c": CODE})
    new = package.snapshot({"a": CODE, "tests/c": "other"})
    assert list(edited_files(old, new)) == []


@pytest.mark.parametrize(("files", "gone"), [({"a": CODE}, ["b"]), ({}, ["a", "b"])])
def test_files_that_are_gone_or_new_are_named(package, files, gone):
    old, new = package.snapshot({"a": CODE, "b": CODE}), package.snapshot(files)
    names = [f"{package.name}/{file}.py" for file in gone]
    assert [change.new for change in edited_files(old, new)] == [
        f"{name} (is gone)" for name in names
    ]
    assert [change.new for change in edited_files(new, old)] == [
        f"{name} (is new)" for name in names
    ]


def test_another_version_has_other_files_that_are_listed_where_no_change_names_them(
    package,
):
    """Those that computed something come first; one that holds the version does not
    count.
    """
    trail = Trail([f"{package.name}/c.py:1 (mul of shape 4)"], "", "")
    subject = Subject("mine", "mine", observations={"call": Observation(trail=trail)})
    old = package.snapshot(
        {"a": CODE, "b": CODE, "c": CODE, "a/version": CODE, "same": CODE}
    )
    new = package.snapshot(
        {"a": "1", "c": "1", "a/version": "1", "same": CODE, "d": CODE},
        version="1.1",
        subjects=[subject],
    )
    assert list(edited_files(old, new)) == []
    files = ["c.py", "a.py", "b.py (is gone)", "d.py (is new)"]
    places = [f"{package.name}/{file}" for file in files]
    assert unexplained_files(old, new, []) == {package.name: places}

    line = f"{package.name}/a.py:3 (mul)"
    change = Change("function", "mine", "it", "", "2", line)
    others = [places[0], *places[2:]]
    assert unexplained_files(old, new, [change]) == {package.name: others}


def test_a_file_whose_version_alone_moved_is_the_same(package):
    old, new = [
        package.snapshot({"__init__": f"__version__ = '{version}'"}, version)
        for version in ("1.0", "1.1")
    ]
    assert unexplained_files(old, new, []) == {}


def test_of_a_package_with_many_files_few_are_named():
    line = files_line({"one": ["a.py", "b.py"], "other": ["x.py"] * 7})
    assert line.endswith(
        ": 2 files of one (a.py, b.py); 7 files of other (x.py, x.py, and 5 more)."
    )
    assert files_line({}) == ""

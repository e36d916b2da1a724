"""Other files of a package under the same version: named by the line, and nothing of other versions or checkouts."""

from itertools import count

import pytest
from msgspec.structs import replace
from support.runs import MACHINE
from support.snapshots import snapshot_of
from trigru.bench.upgrades import sources
from trigru.bench.upgrades.files import Kept
from trigru.bench.upgrades.sources import edited, sources_of

CODE = "import os\n\n\ndef f(x):\n    return x + 1\n\n\ndef g(x):\n    return x\n"
VERSION = count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes an installed package of two modules and a test; returns what a snapshot of it would have."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / f"mine{next(VERSION)}-1.0.dist-info"
    name = info.name.partition("-")[0]
    monkeypatch.setattr(sources, "PACKAGES", [name])
    info.mkdir()

    def snapshot(version="1.0", **files):
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        paths = {f"{name}/{path.replace('__', '/')}.py": content for path, content in files.items()}
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in paths))
        for path, content in paths.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content)
        kept = Kept()
        taken = snapshot_of(machine=replace(MACHINE, versions=MACHINE.versions | {name: version}))
        return replace(taken, sources=sources_of([name], kept)), kept.arrays

    return snapshot, name


def test_the_first_line_that_differs_is_named(package):
    snapshot, name = package
    was = snapshot(a=CODE, b=CODE, tests__c=CODE)
    assert not list(edited(was, snapshot(a=CODE, b=CODE, tests__c="other")))
    (change,) = edited(was, snapshot(a=CODE, b=CODE.replace("return x\n", "return -x\n"), tests__c=CODE))
    assert (change.kind, change.subject, change.line) == ("code", name, f"{name}/b.py:9")
    found = edited(was, snapshot(a=CODE.replace("x + 1", "x + 2"), b="\n" + CODE))
    assert [change.line for change in found] == [f"{name}/a.py:5", f"{name}/b.py:1"]
    (change,) = edited(was, snapshot(a=CODE + "1", b=CODE))
    assert change.line == f"{name}/a.py:10"


@pytest.mark.parametrize(("files", "other"), [({"a": CODE}, ["b"]), ({}, ["a", "b"])])
def test_files_that_are_gone_or_new_are_named(package, files, other):
    snapshot, name = package
    was, now = snapshot(a=CODE, b=CODE), snapshot(**files)
    assert [change.line for change in edited(was, now)] == [f"{name}/{file}.py (is gone)" for file in other]
    assert [change.line for change in edited(now, was)] == [f"{name}/{file}.py (is new)" for file in other]


def test_another_version_may_have_other_files(package):
    snapshot, _ = package
    assert not list(edited(snapshot(a=CODE), snapshot("1.1", a="")))

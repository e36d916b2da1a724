"""Files that are damaged or strange, to every reader: taken whole, or refused in a
sentence.
"""

import os
import re
import tempfile
from functools import cache
from pathlib import Path

import pytest
from support.files import (
    BAD_ARRAYS,
    CALL,
    GOOD,
    SEALED,
    at,
    rewrite,
)
from trigru.bench.analysis.merge import load
from trigru.bench.reporting.answer import show_run
from trigru.bench.upgrades import matrix, snapshot_file
from trigru.bench.upgrades.matrix_page import matrix_tables
from trigru.bench.upgrades.snapshot_file import name_of
from trigru.common.errors import TrigruError
from trigru.impls import checkpoints


def show_all(path):
    run = load(path)
    show_run(run, details=True)
    show_run(run, json=True)


#: By name of a file, what reads it, and what shows it.
READERS = {
    "results.json": (load, show_all),
    "results.partial.jsonl": (load, show_all),
    snapshot_file.FILE: (lambda path: snapshot_file.load(path.parent),),
    "matrix.json": (matrix.read, lambda path: matrix_tables(matrix.read(path))),
}


@cache
def good(name):
    """The content of a good file, which is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        GOOD[name](path)
        read(path)
        return path.read_bytes()


def read(path):
    return READERS.get(path.name, (checkpoints.read,))[0](path)


# What a field cannot have

BEGUN, PLAN = "trigru begun", "trigru begun plan"
OF_LINEN, SAMPLE = "trigru facts 2", "trigru samples 2"
OF_TRAIL = "subjects 0 observations forward trail"


def with_fewer_than_no_dots(observations):
    observations[CALL]["program"]["dots"] = -5


def twice(records):
    """A list has its first item twice."""
    records.append(records[0])


def more(place, **facts):
    """A measurement more, like that at a place, with other facts."""
    return lambda proof: proof.append(proof[place] | facts)


def with_item(number, value):
    """An item of a list is another one."""
    return lambda items: items.__setitem__(number, value)


def renamed(run, workload):
    """All that was measured is of another workload."""
    for sample in run["samples"]:
        sample[0] = workload + sample[0][sample[0].index("/") :]
    for facts in run["facts"]:
        facts["arm"] = workload + facts["arm"][facts["arm"].index("/") :]


#: Of each kind of file what is said of a lie, and the lie: what is changed at each
#: place.
LIES = {
    "results.json": {
        "schema 99, expected": {"trigru": {"schema": 99}},
        "schema None, expected": {"trigru": lambda run: run.pop("schema")},
        "matching regex": {f"{BEGUN} arms 2": {"dtype": "float7"}},
        "int` >= 1": {
            f"{BEGUN} arms 2": {"workload": {"name": "tiny", "sizes": {"hidden": 0}}}
        },
        "of length >= 1 - at .*workloads": {PLAN: {"workloads": []}},
        "ports of the plan have nnx twice": {
            f"{PLAN} ports": lambda ports: ports.append("nnx")
        },
        "float` <= 1.0 .*gate": {OF_LINEN: {"gate": 1.5}},
        "got `null` .*gate": {OF_LINEN: {"gate": None}},
        "float` >= 1e-12 - at .*samples": {SAMPLE: with_item(4, -1.0)},
        "float` <= .*samples": {SAMPLE: with_item(4, 1e9)},
        "int` >= 0 - at .*samples": {SAMPLE: with_item(1, -1)},
        "int` <= ": {"trigru": {"interruptions": 10**15}},
        "unknown field `way_`": {f"{BEGUN} arms 2": {"way_": ""}},
        "another is no arm of the run": {SAMPLE: with_item(0, "another")},
        "other is no arm of the run": {OF_LINEN: {"arm": "other"}},
        "cannot be shown by this version: unknown workload": {
            f"{BEGUN} arms *": {"workload": {"name": "nonsense"}},
            "trigru": lambda run: renamed(run, "nonsense"),
        },
        "datetime is 'yesterday', expected one like": {
            "trigru ended": {"datetime": "yesterday"}
        },
        "it has not ended": {"trigru": {"ended": None}},
    },
    snapshot_file.FILE: {
        "datetime is 'yesterday'": {"": {"datetime": "yesterday"}},
        "it has linen twice": {"subjects": twice},
        "int` >= 0": {"subjects 0 observations": with_fewer_than_no_dots},
        "linen: the trail of forward has a step .* .1, 2, 2, 1, 2.": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["line"])}
        },
        "begins with .0, 9, 9, 0, 9., expected one of 1 lines": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["number"])}
        },
        "begins with .0, 1, 1, 0., expected .* 2 values": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["cut"])}
        },
        "linen: .* forward has steps of dtype float64": {
            OF_TRAIL: {"steps": name_of(BAD_ARRAYS["floats"])}
        },
        "schema 5, expected": {"": {"schema": 5}},
        "signatures of .* shape .2, 4., expected rows of 5": {
            OF_TRAIL: {"signatures": name_of(BAD_ARRAYS["few"])}
        },
    },
    "matrix.json": {
        "has the version set jax==1 twice": {"rows": twice},
        "datetime is '2025-13-99'": {"rows 1": {"day": "2025-13-99"}},
        "schema 9, expected": {"": {"schema": 9}},
        "required field `command`": {"": lambda record: record.pop("command")},
    },
}


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for name, lies in LIES.items() for message in lies],
)
def test_a_file_with_what_its_kind_cannot_have_is_refused(tmp_path, name, message):
    path = tmp_path / name
    path.write_bytes(good(name))
    for place, change in LIES[name][message].items():
        rewrite(path, at(place, change))
    with pytest.raises(TrigruError, match=message) as caught:
        read(path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", SEALED)
def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff" * 64)
    with pytest.raises(
        TrigruError, match="it is no|not a run|malformed|decode byte 0xff"
    ):
        read(tmp_path / name)
    (tmp_path / name).unlink()
    with pytest.raises(TrigruError, match="No such file"):
        read(tmp_path / name)


# Damage

#: What no file of trigru has in place of a value.
NO_VALUES = (
    b"NaN",
    b"1e400",
    b"9" * 400,
    b"[" * 20_000 + b"]" * 20_000,
    b'"\\ud800"',
    b'{"a": 1, "a": 2}',
    b"null",
    b"-1",
)
#: What may stand in place of a file: a pipe, a loop, an endless device, a folder, or
#: what is too large.
STRANGE = (
    os.mkfifo,
    lambda path: os.symlink(path, path),
    lambda path: os.symlink("/dev/zero", path),
    lambda path: (path.touch(), os.truncate(path, 2**40)),
    os.mkdir,
)


def refusal(path):
    """The sentence with which a file is refused; "" if it is taken and shown."""
    try:
        for use in READERS.get(path.name, (checkpoints.read,)):
            use(path)
    except TrigruError as error:
        return str(error)
    return ""


def damaged(content, rng):
    """A file that is cut, has other bytes at a place, or another value."""
    place = int(rng.integers(len(content)))
    values = list(re.finditer(rb'"[^"]*"|[-+.\de]+', content))
    start, end = values[rng.integers(len(values))].span()
    yield content[:place]
    yield content[:place] + rng.bytes(5) + content[place + 5 :]
    for value in NO_VALUES:
        yield content[:start] + value + content[end:]


@pytest.mark.parametrize("name", GOOD)
def test_a_damaged_file_is_taken_whole_or_refused(
    tmp_path, name, rng, quick_bootstrap, capsys
):
    path = tmp_path / name
    for _ in range(4):
        for content in damaged(good(name), rng):
            path.write_bytes(content)
            assert refusal(path).isprintable()
    path.write_bytes(good(name))
    assert refusal(path) == ""
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("make", STRANGE)
def test_what_is_no_file_of_a_bounded_size_is_refused(tmp_path, name, make):
    make(tmp_path / name)
    assert 0 < len(refusal(tmp_path / name)) <= 2000

"""A matrix of version sets, whose environments are made up: rows, reasons, what changed, and going on."""

import json
import sys
from unittest.mock import Mock

import pytest
from msgspec.structs import replace
from support.cli import invoke
from support.runs import MACHINE
from support.snapshots import SETS, Made, leave, release_of, snapshot_of, step_calls
from trigru.bench.commands import matrix
from trigru.bench.commands.matrix import fill, matrix_picture, matrix_tables, read
from trigru.bench.upgrades.environments import (
    Environment,
    EnvironmentFailedError,
    VersionSet,
)
from trigru.bench.upgrades.record import Subject
from trigru.common.equality.measurement import Measurement


@pytest.fixture
def trigru(monkeypatch):
    """What `trigru snapshot` leaves in an environment: each release runs ten more lines."""
    ran = []

    def snapshot(made, folder, arguments, still):
        still()
        ran.append(made.command[-1].partition("=")[2])
        number = release_of(made)
        if number == 2:
            raise EnvironmentFailedError("error: it broke", lasting=False)
        machine = replace(MACHINE, versions=MACHINE.versions | made.versions)
        leave(
            folder,
            Subject("pure", "pure", calls=step_calls(100 + 10 * number)),
            machine=machine,
        )

    monkeypatch.setattr(Environment, "snapshot", snapshot)
    return ran


def test_each_row_is_compared_with_the_last_that_has_a_snapshot(tmp_path, trigru):
    found = fill(SETS, tmp_path, Made())
    assert [row.reason for row in found.rows] == ["", "", "error: it broke", ""]
    assert [row.counts for row in found.rows] == [
        {},
        {"pure": {"calls": 1}},
        {},
        {"pure": {"calls": 1}},
    ]
    assert found.rows[3].moved[0].old == "110 lines"
    assert found.rows[3].moved[0].new == "130 lines"
    assert found.rows[0].versions == {"jax": "0.0.0"}
    (legend,) = matrix_picture(found).figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["pure"]
    assert read(tmp_path) == found
    assert fill(SETS[1:2], tmp_path, Made()).rows[0].counts == {}, (
        "of one that is now the first"
    )


def test_what_is_done_is_not_done_again_and_what_failed_is(tmp_path, trigru):
    sets = [
        *SETS,
        VersionSet("a clone", ("jax==0.3.0", "./flax==1")),
    ]  # which may hold other code now
    first = Made({SETS[0].name: True, SETS[1].name: False})
    fill(sets, tmp_path, first)
    trigru.clear()
    again = Made()
    found = fill(sets, tmp_path, again)
    assert again.made == [SETS[1].name, SETS[2].name, "a clone"]
    assert trigru == again.made
    assert [bool(row.reason) for row in found.rows] == [True, False, True, False, False]


def test_a_snapshot_of_other_versions_than_its_row_is_taken_again(tmp_path, trigru):
    fill(SETS[:2], tmp_path, Made())
    one, other = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    again = Made()
    found = fill(SETS[:2], tmp_path, again)
    assert again.made == [of.name for of in SETS[:2]]
    assert found.rows[1].moved[0].new == "110 lines"


def test_many_changes_of_a_kind_are_counted_and_few_kept():
    trees = [{f"w{n}": f"float{bits}(3,)" for n in range(5)} for bits in (16, 32)]
    row = matrix.MatrixRow("a set", [], "")
    matrix._compare(
        row, *((snapshot_of(Subject("pure", "pure", tree=tree)), {}) for tree in trees)
    )
    assert row.counts == {"pure": {"tree": 5}}
    assert len(row.moved) == matrix.MOST_KEPT


def test_a_run_that_is_stopped_keeps_its_rows(tmp_path, trigru):
    made, told = Made(), []

    def stop(*said):
        told.append(said)
        if said[0] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(SETS, tmp_path, made, told=stop)
    assert told == [(0, 4, SETS[0].name)] * 2 + [(1, 4, SETS[1].name)] * 2 + [
        (2, 4, SETS[2].name)
    ]
    assert [row.name for row in read(tmp_path).rows] == [of.name for of in SETS[:2]]
    made.made.clear()
    fill(SETS, tmp_path, made)
    assert made.made == [of.name for of in SETS[2:]]


def test_what_failed_is_not_told_as_equal_in_part():
    lacking, failed = "not offered: x", "TypeError: x"
    for pure, linen, said in (
        ([None], [None], "all"),
        ([None], [None, lacking], "in part linen"),
        ([], [], "not asked"),
        ([None, failed], [failed, lacking], "not pure, linen"),
        ([failed], [lacking], "not pure; in part linen"),
    ):
        measured = [
            Measurement(port, "masks", None, "call", "float64", 0.0, 1.0, problem)
            for port, problems in (("pure", pure), ("linen", linen))
            for problem in problems
        ]
        snapshot = snapshot_of(
            *(Subject(port, port) for port in ("pure", "linen")), equality=measured
        )
        row = matrix.MatrixRow("a set", [], "", facts=matrix.facts_of(snapshot))
        found = matrix.Matrix(
            schema=matrix.SCHEMA, command=[], datetime="", device="", rows=[row]
        )
        assert matrix_picture(found) is None, "of one set"
        assert matrix_tables(found)[0].rows[0][3] == said


def test_a_set_without_a_snapshot_is_exit_code_1_and_a_finding(
    tmp_path, monkeypatch, trigru
):
    filled = Mock(wraps=fill)
    monkeypatch.setattr(matrix, "fill", filled)
    monkeypatch.setattr(
        matrix, "Environments", lambda python: Made() if python == "3.12" else None
    )
    names = [
        *(of.name for of in SETS),
        "--python",
        "3.12",
        "--no-equality",
        "--port",
        "pure",
    ]
    assert (
        invoke("matrix", *names[:2], *names[4:], "-o", str(tmp_path / "all")).exit_code
        == 0
    )
    assert filled.call_args.args[3] == ["--port=pure", "--no-equality"]
    assert {"matrix.json", "matrix.md", "matrix.html"} <= {
        path.name for path in (tmp_path / "all").iterdir()
    }
    result = invoke(
        "matrix", *names, "-o", str(tmp_path / "three of four"), "--format", "json"
    )
    assert result.exit_code == 1
    found = [
        (f["kind"], f["subject"], f["failed"])
        for f in json.loads(result.stdout)["findings"]
    ]
    calls = [
        ("calls", f"jax=={release}: pure", False) for release in ("0.1.0", "0.3.0")
    ]
    assert found == [calls[0], ("broken", "jax==0.2.0", True), calls[1]]


def test_rows_of_other_sets_stay_and_other_arguments_and_pythons_are_other_rows(
    tmp_path, trigru
):
    fill(SETS[:2], tmp_path, Made())
    fill(SETS[3:], tmp_path, Made())
    assert {row.name for row in read(tmp_path).rows} == {
        SETS[0].name,
        SETS[1].name,
        SETS[3].name,
    }
    one = [SETS[0].name]
    for python, arguments, made in (
        ("3.13", [], []),
        ("3.13", ["--no-equality"], one),
        ("3.11", [], one),
    ):
        again = Made()
        again.python = python
        (row,) = fill(SETS[:1], tmp_path, again, arguments=arguments).rows
        assert (row.python, row.arguments) == (python, arguments)
        assert again.made == made


def test_a_command_is_watched_and_ended_and_no_package_of_the_caller_reaches_it(
    monkeypatch,
):
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/elsewhere")
    program, ticks = (
        "import os, time; time.sleep({}); raise SystemExit(str('/elsewhere' in os.environ.values()))",
        [],
    )
    run = lambda for_s, limit_s: Environment((sys.executable,), {}).run(  # noqa: E731
        ["-c", program.format(for_s)], limit_s, lambda: ticks.append(1)
    )
    assert run(1.2, 60.0) == (1, "False")
    assert len(ticks) >= 2
    assert run(60, 1.0) == (124, "it took longer than 1 s")

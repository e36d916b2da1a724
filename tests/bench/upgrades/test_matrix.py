"""A matrix of version sets, whose environments are made up: rows, reasons, what
changed, and going on.
"""

import json
import sys

import pytest
import typer
from support.snapshots import SETS, MadeUp, snapshot_of, stepping
from trigru.bench.upgrades.environments import Environment, EnvironmentFailedError
from trigru.bench.upgrades.matrix import (
    MOST_KEPT,
    SCHEMA,
    Matrix,
    MatrixRow,
    add_changes,
    facts_of,
    fill,
    read,
)
from trigru.bench.upgrades.matrix_page import matrix, matrix_picture, matrix_tables
from trigru.bench.upgrades.record import Observation, Subject
from trigru.bench.upgrades.snapshot_file import Loaded
from trigru.bench.upgrades.version_sets import VersionSet

NAMES = [version_set.name for version_set in SETS]


def ten_lines_more(number):
    """Each release runs ten more lines of Python; the third has no snapshot."""
    if number == 2:
        raise EnvironmentFailedError("error: it broke", lasting=False)
    return [stepping("pure", 100 + 10 * number)]


def made_up(failing=None, **options):
    return MadeUp(failing, ten_lines_more, **options)


def test_each_row_is_compared_with_the_last_that_has_a_snapshot(tmp_path):
    filled = fill(SETS, tmp_path, made_up())
    assert [row.reason for row in filled.rows] == ["", "", "error: it broke", ""]
    calls = {"pure": {"calls": 1}}
    assert [row.counts for row in filled.rows] == [{}, calls, {}, calls]
    (change,) = filled.rows[3].moved
    assert (change.old, change.new) == ("110 lines", "130 lines")
    assert filled.rows[0].versions == {"jax": "0.0.0"}
    assert read(tmp_path) == filled

    first_of_others = fill(SETS[1:2], tmp_path, made_up()).rows[0]
    assert first_of_others.counts == {}


def test_the_picture_has_a_line_for_each_port(tmp_path):
    filled = fill(SETS, tmp_path, made_up())
    (legend,) = matrix_picture(filled).figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["pure"]
    assert matrix_picture(fill(SETS[:1], tmp_path, made_up())) is None


def test_what_is_done_is_not_done_again_and_what_failed_is(tmp_path):
    """A clone is, too: it may hold other code now."""
    sets = [*SETS, VersionSet("a clone", ("jax==0.3.0", "./flax==1"))]
    fill(sets, tmp_path, made_up({NAMES[0]: True, NAMES[1]: False}))
    again = made_up()
    filled = fill(sets, tmp_path, again)
    assert again.made == [NAMES[1], NAMES[2], "a clone"]
    assert [name for name, _ in again.taken] == again.made
    failed = [bool(row.reason) for row in filled.rows]
    assert failed == [True, False, True, False, False]


def test_a_snapshot_of_other_versions_than_its_row_is_taken_again(tmp_path):
    fill(SETS[:2], tmp_path, made_up())
    first, second = [folder for folder in tmp_path.iterdir() if folder.is_dir()]
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    again = made_up()
    filled = fill(SETS[:2], tmp_path, again)
    assert again.made == NAMES[:2]
    assert filled.rows[1].moved[0].new == "110 lines"


def test_many_changes_of_a_kind_are_counted_and_few_kept():
    loaded = []
    for bits in (16, 32):
        observations = {}
        for number in range(5):
            leaves = {f"w{number}": f"float{bits}({number},)"}
            observations[f"row {number}"] = Observation(leaves=leaves)
            observations[f"row {number}"].leaves |= {"b": f"float{number + bits}()"}
        subject = Subject("pure", "pure", observations=observations)
        loaded.append(Loaded(snapshot_of(subject), {}))
    row = MatrixRow("a set", [], "")
    add_changes(row, *loaded)
    assert row.counts == {"pure": {"tree": 10}}
    assert len(row.moved) == MOST_KEPT


def test_a_run_that_is_stopped_keeps_its_rows(tmp_path):
    told = []

    def stop_at_the_third(done, number, name):
        told.append((done, number, name))
        if done == 2:
            raise KeyboardInterrupt

    environments = made_up()
    with pytest.raises(KeyboardInterrupt):
        fill(SETS, tmp_path, environments, tell=stop_at_the_third)
    first, second, third = (0, 4, NAMES[0]), (1, 4, NAMES[1]), (2, 4, NAMES[2])
    assert told == [first, first, second, second, third]
    assert [row.name for row in read(tmp_path).rows] == NAMES[:2]

    environments.made.clear()
    fill(SETS, tmp_path, environments)
    assert environments.made == NAMES[2:]


def test_rows_of_other_sets_stay(tmp_path):
    fill(SETS[:2], tmp_path, made_up())
    fill(SETS[3:], tmp_path, made_up())
    names = {row.name for row in read(tmp_path).rows}
    assert names == {NAMES[0], NAMES[1], NAMES[3]}


@pytest.mark.parametrize(
    ("python", "arguments", "is_other"),
    [
        ("3.13", [], False),
        ("3.13", ["--port=pure"], True),
        ("3.11", [], True),
    ],
)
def test_other_arguments_and_pythons_are_other_rows(
    tmp_path, python, arguments, is_other
):
    fill(SETS[:1], tmp_path, made_up())
    again = made_up(python=python)
    (row,) = fill(SETS[:1], tmp_path, again, arguments).rows
    assert (row.python, row.arguments) == (python, arguments)
    assert again.made == (NAMES[:1] if is_other else [])


@pytest.mark.parametrize(
    ("problems", "works"),
    [
        ({"pure": {}, "linen": {}}, "all"),
        ({}, "not asked"),
        ({"pure": {}, "linen": {"forward": "no"}}, "not linen"),
        ({"pure": {"it": "no"}, "linen": {"it": "no"}}, "not pure, linen"),
    ],
)
def test_the_table_says_which_ports_work(problems, works):
    subjects = []
    for name, of_port in problems.items():
        subjects.append(Subject(name, name, problems=of_port))
    row = MatrixRow("a set", [], "", facts=facts_of(snapshot_of(*subjects)))
    table = matrix_tables(Matrix(SCHEMA, [], "", "", [row]))[0]
    assert table.rows[0][2] == works


def test_a_set_without_a_snapshot_is_exit_code_1_and_a_finding(tmp_path, capsys):
    with pytest.raises(typer.Exit) as exit:
        matrix(SETS, [], made_up(), details=False, format="json", output=tmp_path)
    assert exit.value.exit_code == 1
    findings = []
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        findings.append((finding["kind"], finding["subject"], finding["failed"]))
    assert findings == [
        ("calls", f"{NAMES[1]}: pure", False),
        ("broken", NAMES[2], True),
        ("calls", f"{NAMES[3]}: pure", False),
    ]
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {"matrix.json", "matrix.md", "matrix.html"}


def test_sets_that_all_have_a_snapshot_are_exit_code_0(tmp_path):
    matrix(SETS[:2], [], made_up(), details=False, format="text", output=tmp_path)


def run_python(code, limit_s=60.0, still=lambda: None):
    environment = Environment((sys.executable,), {})
    return environment.run(["-c", code], limit_s, still)


def test_no_package_of_the_caller_reaches_a_command(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/elsewhere")
    code = "import os; raise SystemExit(str('/elsewhere' in os.environ.values()))"
    assert run_python(code) == (1, "False")


def test_a_command_is_watched_and_ended():
    ticks = []
    ended = run_python("import time; time.sleep(60)", 1.5, lambda: ticks.append(1))
    assert ended == (124, "it took longer than 1.5 s")
    assert ticks

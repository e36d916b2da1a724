"""A matrix that is filled again, in a folder that has some of it: every row is as if it were filled at once."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest
from support.environments import SETS, Made
from support.runs import MACHINE
from trigru.bench.upgrades import matrix
from trigru.bench.upgrades.changes import Change
from trigru.bench.upgrades.environments import Environment
from trigru.bench.upgrades.matrix import FILE, LIMIT_S, MOST_KEPT, Row, fill, place_of, read
from trigru.bench.upgrades.versions import VersionSet, read_set


def filled(folder, sets=SETS, **options):
    return fill(sets, folder, Made(), command=["trigru", "matrix"], **options)


@pytest.mark.parametrize("earlier", [[0], [0, 1], [0, 3], [1, 3], [3], [0, 1, 2, 3], [3, 1, 0], [0, 1, 3, 0, 1, 3]])
def test_a_matrix_is_the_same_whatever_an_earlier_run_had(tmp_path, trigru, earlier):
    """Also of sets in another order, whose rows were compared with others."""
    for number in range(0, len(earlier), 3):
        filled(tmp_path / "again", [SETS[n] for n in earlier[number : number + 3]])
    again, once = filled(tmp_path / "again"), filled(tmp_path / "once")
    assert read(tmp_path / "again") == again
    for row in (*again.rows, *once.rows):
        row.seconds = []
    assert again.rows == once.rows
    assert [sum(sum(kinds.values()) for kinds in row.counts.values()) for row in again.rows] == [0, 1, 0, 1]
    assert [len(row.moved) for row in again.rows] == [0, 1, 0, 1]


def test_the_first_row_of_fewer_sets_has_no_changes(tmp_path, trigru):
    filled(tmp_path)
    (row,) = filled(tmp_path, SETS[1:2]).rows
    assert (row.counts, row.moved) == ({}, [])


def test_a_snapshot_that_is_gone_or_damaged_is_taken_again(tmp_path, trigru):
    filled(tmp_path, SETS[:2])
    first, second = (tmp_path / place_of(of, "3.13", []) for of in SETS[:2])
    shutil.rmtree(first)
    (second / "snapshot.json").write_text("{")
    trigru.clear()
    filled(tmp_path, SETS[:2])
    assert trigru == [(of.name, "snapshot") for of in SETS[:2]]


def test_times_that_are_gone_are_taken_again_and_a_set_without_a_snapshot_has_none(tmp_path, monkeypatch, trigru):
    snapshot = matrix.run_trigru

    def run(made, words, still):
        if words[0] == "bench":
            (Path(words[-1]) / "results.json").touch()
        return snapshot(made, words, still)

    monkeypatch.setattr(matrix, "run_trigru", run)
    monkeypatch.setattr(matrix, "step_times_us", lambda place: {"pure": 2.0, "gone": 1.0})
    found = filled(tmp_path, bench=["--quick"])
    timed = [of.name for n, of in enumerate(SETS) if n != 2]
    assert [name for name, command in trigru if command == "bench"] == timed
    assert [row.bench for row in found.rows] == [["--quick"], ["--quick"], None, ["--quick"]]
    assert found.rows[0].facts.keys() == {"pure"}
    assert found.rows[0].facts["pure"]["step_time_us"] == 2.0
    (tmp_path / place_of(SETS[1], "3.13", []) / "results.json").unlink()
    trigru.clear()
    filled(tmp_path, bench=["--quick"])
    assert [name for name, command in trigru if command == "bench"] == [SETS[1].name]


def test_a_matrix_says_of_what_and_where_it_is(tmp_path, trigru):
    of = VersionSet("2025-01-10", ("jax==0.1.0",), read_set("2025-01-10").day)

    class Dated(Made):
        def get(self, of):
            jax = "0.1.0" if of.day else "0.2.0"
            return Environment((of.name,), {"jax": jax, "numpy": "2.0", "rich": "13"})

    found = fill([of, SETS[2]], tmp_path, Dated(), command=["trigru", "matrix"])
    assert (found.schema, found.command, found.device) == (matrix.SCHEMA, ["trigru", "matrix"], MACHINE.device)
    assert found.datetime.startswith("20")
    row = found.rows[0]
    assert (row.name, row.requirements, row.day) == ("2025-01-10", ["jax==0.1.0"], "2025-01-10")
    assert (row.python, row.arguments, row.versions) == ("3.13", [], {"jax": "0.1.0", "numpy": "2.0"})
    assert read(tmp_path) == read(tmp_path / FILE) == found


def test_each_command_gets_its_arguments_and_the_folder_of_its_set(tmp_path, monkeypatch, trigru):
    snapshot, told = matrix.run_trigru, []

    def run(made, words, still):
        told.append(words)
        return snapshot(made, words, still)

    monkeypatch.setattr(matrix, "run_trigru", run)
    filled(tmp_path, SETS[:1], arguments=["--port=pure", "--no-equality"], bench=["--quick", "--rounds=9"])
    place = str(tmp_path / place_of(SETS[0], "3.13", ["--port=pure", "--no-equality"]))
    assert told == [
        ["snapshot", "--port=pure", "--no-equality", "-o", place],
        ["bench", "--quick", "--rounds=9", "--discard", "-o", place],
    ]


def test_a_folder_is_of_one_set_one_python_and_the_same_arguments():
    long = [VersionSet(f"{'jax==0.6.2 ' * 9}flax==0.{n}") for n in range(2)]
    asked = [
        (SETS[0], "3.13", []), (SETS[1], "3.13", []), (SETS[0], "3.12", []), (SETS[0], "3.13", ["--no-equality"]),
        (SETS[0], "3.13", ["--port=pure"]), (long[0], "3.13", []), (long[1], "3.13", []),
    ]  # fmt: skip
    names = [place_of(*some) for some in asked]
    assert len(set(names)) == len(names)
    assert all(len(name) < 80 and "/" not in name and " " not in name for name in names)
    assert names[0].startswith("jax==0.0.0-")


def test_seconds_are_of_the_installation_and_then_of_the_snapshot(tmp_path, monkeypatch, trigru):
    moments = iter([0, 10, 13])

    class Clock:
        @staticmethod
        def now(zone):
            return datetime.fromtimestamp(next(moments), zone)

    monkeypatch.setattr(matrix, "datetime", Clock)
    row = Row("x", [], "")
    matrix._fill_row(row, SETS[0], tmp_path, Made(), lambda: None)
    assert row.seconds == [10.0, 3.0]


def test_the_worst_few_changes_of_a_kind_are_kept_of_each_port_and_all_are_counted(tmp_path, monkeypatch, trigru):
    filled(tmp_path, SETS[:2])
    first, second = (tmp_path / place_of(of, "3.13", []) for of in SETS[:2])
    found = [
        Change(kind, port, f"{kind} {n}", f"old {n}", f"new {n}")
        for kind in ("draws", "bits")
        for n in range(MOST_KEPT + 1)
        for port in ("pure", "nnx")
    ]
    monkeypatch.setattr(matrix, "changes", lambda old, new: found)
    row = Row("x", [], "")
    matrix._compare(row, first, second)
    assert row.counts == {port: dict.fromkeys(("draws", "bits"), MOST_KEPT + 1) for port in ("pure", "nnx")}
    kept = [change for change in found if not change.what.endswith(str(MOST_KEPT))]
    assert row.moved == kept


def test_trigru_is_run_by_the_interpreter_of_the_environment(monkeypatch):
    told = []

    def run_in(command, limit_s, still):
        told.append((command, limit_s, still))
        return 3, "it broke"

    monkeypatch.setattr(matrix, "run_in", run_in)
    made, still = Environment(("uv", "run"), {}), lambda: None
    assert matrix.run_trigru(made, ["snapshot", "-o", "x"], still) == "it broke"
    assert told == [(["uv", "run", "python", "-P", "-m", "trigru.bench.cli", "snapshot", "-o", "x"], LIMIT_S, still)]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo first >&2; echo 'the last' >&2; echo >&2; exit 3", (3, "the last")),
        ("echo 'to a user'; exit 4", (4, "exit code 4")),
        ("echo 'a warning' >&2", (0, "")),
    ],
)
def test_of_a_command_that_fails_the_last_line_is_told(script, said):
    assert matrix.run_in(["sh", "-c", script], 60.0) == said

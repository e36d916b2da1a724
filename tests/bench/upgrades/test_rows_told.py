"""What the tables and the picture of a matrix, of a snapshot and of its changes say: each number in its own place."""

import msgspec
import pytest
from support.runs import PROGRAM
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import Change
from trigru.bench.upgrades.matrix import SCHEMA, Matrix, Row, facts_of
from trigru.bench.upgrades.record import Calls, Checkpoint, Draw, Leaf, Problem, Program, Subject, Values, Warned, Where
from trigru.bench.upgrades.tables import (
    LONGEST,
    MOST_ROWS,
    change_tables,
    matrix_picture,
    matrix_tables,
    snapshot_table,
)
from trigru.common.equality.measurement import Measurement

STEP, FORWARD = Where("jit", "train_step", "float32", "adam"), Where("jit", "forward", "float32")


def facts(lines, time_us=None, works="yes", equal="yes"):
    found = {"works": works, "equal": equal, "functions": lines and lines // 10, "lines": lines, "leaves": 5}
    return found | ({} if time_us is None else {"step_time_us": time_us})


def row(name, number, day="", **changed):
    versions = {"jax": f"0.{number}.0", "flax": "0.12.0"}
    return msgspec.structs.replace(Row(name, [], day, "3.13", versions=versions), **changed)


def matrix(*rows):
    return Matrix(SCHEMA, ["trigru"], "2026-01-01", "A CPU", list(rows))


@pytest.fixture
def found():
    """Four sets, one without a snapshot, of plain JAX, NNX with its kernel, and a part that comes later."""
    moved = [Change("bits", "nnx", "y" * LONGEST, "", "x" * (LONGEST + 1))]
    first = {"pure": facts(100, 2.0), "nnx": facts(400, 5.0), "nnx:fused": facts(390, 4.0)}
    third = {"pure": facts(100), "nnx": facts(800, 6.0, "2 problems", "1 failed"), "nnx:fused": facts(None, equal="")}
    fourth = {"pure": facts(110, 4.0), "nnx": facts(900, 7.0), "nn.RNN": facts(70)}
    return matrix(
        row("2025-01-01", 4, "2025-01-01", facts=first),
        row("2025-02-01", 5, "2025-02-01", reason="error: it broke"),
        row("2025-03-01", 6, "2025-03-01", facts=third, moved=moved, untimed="busy",
            counts={"pure": {"bits": 2}, "nnx": {"calls": 1, "bits": 3, "broken": 1}}),
        row("jax==0.6.0 flax==0.12", 6, facts=fourth),
    )  # fmt: skip


def test_the_first_table_says_what_is_new_what_works_and_what_changed(found):
    table, *_ = matrix_tables(found)
    assert table.rows == [
        ("2025-01-01", "jax 0.4.0, flax 0.12.0", "all", "all", "the first"),
        ("2025-02-01", "", "", "", "no snapshot"),
        ("2025-03-01", "jax 0.4.0 -> 0.6.0", "not nnx", "not nnx", "broken 1, calls 1, bits 5"),
        ("jax==0.6.0 flax==0.12", "nothing new", "all", "all", "nothing"),
    ]
    assert table.notes[1:] == ("No snapshot of 2025-02-01: error: it broke", "No times of 2025-03-01: busy")


def test_each_subject_has_a_table_of_its_own_over_the_sets(found):
    names = {section.title: section for section in matrix_tables(found)[1:]}
    assert list(names)[:4] == ["pure", "nnx", "nnx:fused", "nn.RNN"]
    assert {title: [row[1:] for row in names[title].rows] for title in list(names)[:4]} == {
        "pure": [("yes", "yes", "the first", "10 / 100", "2.0 µs", "1.00"),
                 ("yes", "yes", "bits 2", "10 / 100", "-", "-"),
                 ("yes", "yes", "nothing", "11 / 110", "4.0 µs", "1.00")],
        "nnx": [("yes", "yes", "the first", "40 / 400", "5.0 µs", "2.50"),
                ("2 problems", "1 failed", "broken 1, calls 1, bits 3", "80 / 800", "6.0 µs", "-"),
                ("yes", "yes", "nothing", "90 / 900", "7.0 µs", "1.75")],
        "nnx:fused": [("yes", "yes", "the first", "39 / 390", "4.0 µs", "2.00"),
                      ("yes", "not asked", "nothing", "-", "-", "-"), ("not looked at", "", "", "", "-", "-")],
        "nn.RNN": [("not looked at", "", "", "", "-", "-")] * 2 + [("yes", "yes", "nothing", "7 / 70", "-", "-")],
    }  # fmt: skip
    assert all(section.detail for section in names.values())
    assert {row[0] for row in names["pure"].rows} == {"2025-01-01", "2025-03-01", "jax==0.6.0 flax==0.12"}
    assert "Time step: " in names["pure"].notes[0]
    assert [title for title in names if title.startswith("Changed")] == [
        f"Changed with {row.name}" for row in found.rows if not row.reason
    ]
    assert names["Changed with 2025-03-01"].rows == [("bits", "nnx", "y" * LONGEST, "none", "x" * LONGEST + "…")]


def test_the_first_has_a_snapshot_and_what_nobody_timed_has_no_column_and_no_panel():
    found = matrix(
        row("jax==0.0.0", 0, reason="error: it broke"),
        row("jax==0.1.0", 1, facts={"pure": facts(100)}),
        row("jax==0.2.0", 2, facts={"pure": facts(110)}, counts={"pure": {"calls": 1}}),
    )
    pure = matrix_tables(found)[1]
    assert [row[3:] for row in pure.rows] == [("the first", "10 / 100"), ("calls 1", "11 / 110")]
    assert pure.columns[-1] == "functions / lines"
    (lines,) = matrix_picture(found).figure.axes
    assert lines.get_ylabel() == "lines"


def test_the_picture_draws_each_port_in_a_panel_for_each_fact(found, tmp_path):
    picture = matrix_picture(found)
    assert [path.name for path in picture.write(tmp_path)] == ["matrix.png", "matrix.svg"]
    lines, times = picture.figure.axes
    assert (lines.get_ylabel(), times.get_ylabel()) == ("lines", "µs")
    assert "Lines of Python" in lines.get_title()
    assert "time step" in times.get_title()
    drawn = [
        {line.get_label(): [list(axis) for axis in (line.get_xdata(), line.get_ydata())] for line in axes.get_lines()}
        for axes in (lines, times)
    ]
    assert drawn == [
        {"pure": [[0, 1, 2], [100, 100, 110]], "nnx": [[0, 1, 2], [400, 800, 900]], "nn.RNN": [[2], [70]]},
        {"pure": [[0, 2], [2.0, 4.0]], "nnx": [[0, 1, 2], [5.0, 6.0, 7.0]]},
    ]
    assert (lines.get_yscale(), times.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in times.get_xticklabels()] == [
        "2025-01-01, jax 0.4.0", "2025-03-01, jax 0.6.0", "jax==0.6.0\nflax==0.12",
    ]  # fmt: skip
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["pure", "nnx", "nn.RNN"]
    assert picture.description == (
        "Lines of Python in one train step, over 3 version sets: pure from 100 to 110; nnx from 400 to 900."
    )


def test_the_facts_of_a_row_are_each_of_its_subject_and_of_a_train_step():
    def calls(n):
        return [Calls(FORWARD, 90, 91, 92, 93, 1), Calls(STEP, n, n + 1, n + 2, n + 3, 1), Calls(STEP, 0, 0, 0, 0, 1)]

    problem = Problem("values", "", "TypeError", "", "")
    subjects = [
        Subject("nnx", "nnx", calls=calls(10)), Subject("nnx:fused", "nnx", calls=calls(20), problems=[problem] * 2),
        Subject("pure", "pure", missing="is absent", problems=[problem]), Subject("nn.RNN", "nnx", problems=[problem]),
    ]  # fmt: skip
    equality = [
        Measurement(port, "masks", None, "carry", "float64", error, 1e-12, kernel=kernel)
        for port, kernel, error in (("nnx", "stock", 0.0), ("nnx", "fused", 1.0), ("pure", "stock", 1.0))
    ]
    assert facts_of(snapshot_of(*subjects, equality=equality)) == {
        "nnx": {"works": "yes", "equal": "yes", "functions": 11, "lines": 13, "leaves": 10},
        "nnx:fused": {"works": "2 problems", "equal": "1 failed", "functions": 21, "lines": 23, "leaves": 20},
        "pure": {"works": "is absent", "equal": "1 failed", "functions": None, "lines": None, "leaves": None},
        "nn.RNN": {"works": "1 problem", "equal": "", "functions": None, "lines": None, "leaves": None},
    }


def test_a_snapshots_table_counts_each_fact_in_its_column():
    many = {
        "values": Values(FORWARD, {}), "draws": Draw("gru", 0, "", ""), "tree": Leaf("", (), ""),
        "checkpoints": Checkpoint("", [], {}), "programs": Program(FORWARD, PROGRAM, 1, 1),
        "calls": Calls(FORWARD, 1, 1, 1, 1, 1), "warnings": Warned("call", "", "", ""),
        "problems": Problem("", "", "", "", ""),
    }  # fmt: skip
    subject = Subject("nnx", "nnx", **{name: [fact] * n for n, (name, fact) in enumerate(many.items(), 1)})
    gone = Subject("linen", "linen", missing="is absent")
    table = snapshot_table(snapshot_of(subject, gone))
    titles = ["values", "draws", "leaves", "files", "programs", "calls", "warnings", "problems"]
    assert list(table.columns[1:]) == titles
    assert table.rows == [("nnx", *map(str, range(1, 9))), ("linen", *"0000000", "is absent")]


def test_of_each_kind_and_subject_a_few_changes_are_shown_and_the_rest_counted():
    some = [
        Change(kind, port, f"{port} {n}", "", "new")
        for kind, most in (("draws", MOST_ROWS + 2), ("bits", 1))
        for n in range(most)
        for port in ("pure", "nnx")
    ]
    shown, each, bits = change_tables(some, ("draws",))
    assert shown.title == "draws: draws other parameters from the same key (10 changes, FAILED)"
    assert shown.rows == [(p, f"{p} {n}", "none", "new") for p in ("pure", "nnx") for n in range(MOST_ROWS)]
    assert shown.notes == ("4 more; --details lists them.",)
    assert (each.title, each.detail, len(each.rows)) == (f"{shown.title}, each", True, 10)
    assert bits.title == "bits: rounds in another way (2 changes, no failure)"
    assert (bits.notes, shown.detail, bits.detail) == ((), False, False)

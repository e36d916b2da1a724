"""What `trigru verify` says of its measurements, in tables and for machines."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.cli import shown
from trigru.bench.analysis.equality import Proof, proofs_of
from trigru.bench.reporting.equality import (
    departures_table,
    equality_json,
    equality_line,
    equality_table,
    equality_tables,
    self_test_table,
)
from trigru.bench.reporting.sections import _style
from trigru.common.equality.verification import NOT_OFFERED, Measurement
from trigru.impls.faults import FAULTS
from trigru.impls.upstream import GONE, NEW, ON_RECORD, Finding

GOOD = Measurement("a", "sequence", None, "carry", "float64", 2e-16, 1e-12)
BAD = replace(GOOD, error=1.0)
HALF = replace(GOOD, dtype="float32", error=0.2, bound=1.0)
ABSENT = replace(GOOD, error=None, problem=f"{NOT_OFFERED}: no such thing")


@pytest.mark.parametrize(
    ("measurements", "text"),
    [
        ([GOOD], "2e-16"),
        ([GOOD, replace(GOOD, error=3e-15)], "3e-15"),
        ([GOOD, HALF, replace(HALF, dtype="bfloat16", error=0.6)], "2e-16 · 60%"),
        ([HALF], "20%"),
        ([replace(GOOD, error=0.0, bound=0.0)], "bit for bit"),
        ([GOOD, replace(GOOD, error=0.0, bound=0.0)], "2e-16"),
        ([GOOD, BAD], "FAILED"),
        ([ABSENT, BAD], "FAILED"),
        ([GOOD, ABSENT], "not offered"),
    ],
)
def test_a_cell_says_how_well_or_why_not(measurements, text):
    (row,) = equality_table(measurements).rows
    assert row == ("sequence", text)


def test_a_check_that_is_asked_by_an_option_alone_has_a_row():
    rows = equality_table([GOOD, *(replace(GOOD, check=name) for name in ("triples", "devices"))]).rows
    assert [name for name, _ in rows] == ["sequence", "triples", "devices"]


def test_each_kernel_has_a_table_of_its_own():
    fused = [replace(m, kernel="fused") for m in (GOOD, BAD)]
    assert [table.columns for table in equality_tables([GOOD, *fused])] == [("check", "a"), ("check", "a:fused")]
    assert equality_line([GOOD, *fused]) == "Equality: FAILED: a:fused; a proven equal (1 of 3 measurements failed)."


def test_a_proof_is_of_a_port_on_a_kernel():
    exact, other = replace(GOOD, dtype="bfloat16", error=0.0, bound=0.0), replace(GOOD, kernel="fused")
    found = proofs_of([GOOD, HALF, exact, replace(BAD, check="step"), ABSENT, BAD, other])
    assert found == [
        Proof("a", "stock", 6, ("step", "sequence"), 3, 1.0, 0.2),
        Proof("a", "fused", 1, (), 0, 2e-16, None),
    ]
    assert [proof.is_equal for proof in found] == [False, True]


def test_a_port_that_was_not_asked_has_a_cell_that_says_so():
    table = equality_table([GOOD, replace(GOOD, port="b", check="carry")])
    assert table.rows == [("sequence", "2e-16", "not asked"), ("carry", "not asked", "2e-16")]


def test_notes_tell_what_failed_from_what_is_not_offered():
    _, failed, absent = equality_table([BAD, replace(ABSENT, check="carry")]).notes
    assert failed.startswith("FAILED a: sequence: carry in float64: error 1.0e+00")
    assert absent == "NOT OFFERED a: carry: carry in float64: not offered: no such thing"
    assert len(equality_table([BAD], failures=False).notes) == 1
    assert equality_table([BAD, BAD]).notes[1].endswith("(and 1 more)")


def test_a_table_tells_the_bounds_of_rows_where_it_has_some():
    (plain,) = equality_table([GOOD]).notes
    again, of_rows = equality_table([GOOD, replace(GOOD, check="contract", levels={})]).notes
    assert again == plain
    assert "4 times NumPy's own error and 4 units in the last place" in plain
    assert "where much cancels, 32 times NumPy's own rounding error is allowed" in of_rows
    assert "In other dtypes, 16 times NumPy's own error (32 times where gates are saturated) and 16 units" in of_rows


def test_the_outcome_fits_a_line():
    assert equality_line([GOOD, GOOD], []) == "Equality: a proven equal (all within their bounds)."
    found = equality_line([GOOD, replace(GOOD, port="b"), replace(BAD, port="c"), replace(GOOD, port="c")], ["d"])
    assert found == "Equality: FAILED: c; a, b proven equal; not checked: d (1 of 4 measurements failed)."


def test_departures_are_told_whole_and_fit():
    assert departures_table([Finding("p", "w", "s", NEW)]).rows == [("p", "w", "s", NEW)]
    text = shown([departures_table([Finding("eqx.nn.GRUCell", "w " * 40, "s " * 60, ON_RECORD)])])
    assert text.count("s ") >= 60
    assert _style(GONE) == _style(NEW) == _style("FAILED x") == "red"


def test_the_self_test_names_what_noticed_each_fault():
    noticed = {fault.name: ["sequence", "carry"] for fault in FAULTS} | {FAULTS[0].name: []}
    table = self_test_table(noticed)
    assert [row[2] for row in table.rows[:2]] == ["NONE", "sequence, carry"]
    assert table.notes == (f"{len(FAULTS) - 1} of {len(FAULTS)} noticed.",)


def test_machines_are_told_what_passed_and_what_is_offered():
    found = json.loads(equality_json([GOOD, BAD, ABSENT], {"x": "why"}, {"rich": "15.0"}))
    assert [(m["offered"], m["passed"]) for m in found["measurements"]] == [(True, True), (True, False), (False, False)]
    assert found["measurements"][2]["error"] is None
    assert not found["passed"]
    assert found["unavailable"] == {"x": "why"}
    assert found["versions"] == {"rich": "15.0"}
    assert [json.loads(equality_json(measured, {}, {}))["passed"] for measured in ([GOOD], [], [GOOD, ABSENT])] == [
        True,
        False,
        False,
    ]


def test_the_keys_are_those_of_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "equality.md").read_text(encoding="utf-8")
    section = page.partition("## For machines")[2].partition("##")[0]
    found = json.loads(equality_json([GOOD], {}, {}, [Finding("p", "w", "s", NEW)]))
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.M)) == set(found)
    for key in (*found["measurements"][0], *found["departures"][0]):
        assert f"`{key}`" in section
    for status in (ON_RECORD, GONE, NEW):
        assert f'"{status}"' in section
    assert "departures" not in json.loads(equality_json([GOOD], {}, {}))
    assert json.loads(equality_json([GOOD], {}, {}, []))["departures"] == []

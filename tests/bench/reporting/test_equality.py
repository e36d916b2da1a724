"""What `trigru verify` says of its measurements, in tables and for machines."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from trigru.bench.reporting.equality import equality_json, equality_table
from trigru.bench.results.proof import Proof, proofs_of
from trigru.common.equality.verification import NOT_OFFERED, Measurement
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


def test_a_proof_is_of_a_port_on_a_kernel():
    exact, other = replace(GOOD, dtype="bfloat16", error=0.0, bound=0.0), replace(GOOD, kernel="fused")
    found = proofs_of([GOOD, HALF, exact, replace(BAD, check="step"), ABSENT, BAD, other])
    assert found == [
        Proof("a", "stock", 6, ("step", "sequence"), 3, 1.0, 0.2),
        Proof("a", "fused", 1, (), 0, 2e-16, None),
    ]
    assert [proof.is_equal for proof in found] == [False, True]


def test_json_says_what_passed_and_what_is_offered():
    found = json.loads(equality_json([GOOD, BAD, ABSENT], {"x": "why"}, {"rich": "15.0"}))
    assert [(m["offered"], m["passed"]) for m in found["measurements"]] == [(True, True), (True, False), (False, False)]
    assert (found["passed"], found["unavailable"], found["versions"]) == (False, {"x": "why"}, {"rich": "15.0"})
    for measured, passed in (([GOOD], True), ([], False), ([GOOD, ABSENT], False)):
        assert json.loads(equality_json(measured, {}, {}))["passed"] == passed


def test_the_keys_are_those_of_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "checks.md").read_text(encoding="utf-8")
    section = page.partition("## For machines")[2].partition("##")[0]
    found = json.loads(equality_json([GOOD], {}, {}, [Finding("p", "w", "s", NEW)]))
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.M)) == set(found)
    for key in (*found["measurements"][0], *found["departures"][0]):
        assert f"`{key}`" in section
    for status in (ON_RECORD, GONE, NEW):
        assert f'"{status}"' in section
    assert "departures" not in json.loads(equality_json([GOOD], {}, {}))
    assert json.loads(equality_json([GOOD], {}, {}, []))["departures"] == []

"""Findings and measurements of equality, for machines and in tables."""

import json
import re
from dataclasses import replace
from typing import get_args

import pytest
from support.golden import ROOT, check_golden
from trigru.bench.reporting.equality import equality_json, equality_table
from trigru.bench.reporting.findings import Finding, Format, written
from trigru.bench.results.proof import Proof, proofs_of
from trigru.common.equality.verification import NOT_OFFERED, Measurement

FOUND = [
    Finding(
        "function",
        "linen's parts",
        "nn.RNN: 1.01 times as large",
        True,
        "flax/linen/recurrent.py:593 (mul)",
    ),
    Finding(
        "bits",
        "nnx, a|b",
        "by 1 unit\x1b[31m <&> ::error:: 5 %",
        False,
        "mine.py:7 (tanh of shape 4)",
    ),
]


def test_what_could_not_be_judged_has_not_passed():
    text = written("json", "trigru diff", [], [], is_judged=False)
    assert json.loads(text)["passed"] is False


def test_what_found_nothing_has_passed():
    text = written("json", "trigru diff", ["Nothing changed."], [])
    assert json.loads(text)["passed"] is True


@pytest.mark.parametrize(
    "format", [name for name in get_args(Format) if name != "text"]
)
def test_findings_in_each_format(format, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    text = written(format, "trigru diff", ["FAILED\x1b"], FOUND)
    check_golden(f"findings-{format}", text)
    assert "\x1b" not in text


def test_github_gets_an_annotation_at_lines_of_this_folder_and_a_summary(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    *_, last = written("github", "trigru diff", ["FAILED"], FOUND).splitlines()
    assert last.startswith(
        "::notice file=mine.py,line=7,title=bits%3A nnx%2C a|b::by 1 unit"
    )
    first = (tmp_path / "summary").read_text()
    assert (
        first.rstrip() == written("markdown", "trigru diff", ["FAILED"], FOUND).rstrip()
    )
    *shown, left = written("github", "trigru diff", [], 12 * FOUND).splitlines()
    assert (len(shown), left.partition(",")[0]) == (20, "4 more"), (
        "GitHub shows ten of each level"
    )
    assert (tmp_path / "summary").read_text().startswith(f"{first}# "), (
        "what was there stays"
    )


GOOD = Measurement("a", "sequence", None, "carry", "float64", 2e-16, 1e-12)
BAD = replace(GOOD, error=1.0)
HALF = replace(GOOD, dtype="float32", error=0.2, bound=1.0)
ABSENT = replace(GOOD, error=None, problem=f"{NOT_OFFERED}: no such thing")


def test_a_cell_says_how_well_or_why_not():
    exact = replace(GOOD, error=0.0, bound=0.0)
    for measurements, text in (
        ([GOOD], "2e-16"),
        ([GOOD, replace(GOOD, error=3e-15)], "3e-15"),
        ([HALF], "20%"),
        ([exact], "bit for bit"),
        ([GOOD, HALF, replace(HALF, dtype="bfloat16", error=0.6)], "2e-16 · 60%"),
        ([GOOD, exact], "2e-16"),
        ([GOOD, BAD], "FAILED"),
        ([ABSENT, BAD], "FAILED"),
        ([GOOD, ABSENT], "not offered"),
    ):
        (row,) = equality_table(measurements).rows
        assert row == ("sequence", text)


def test_a_proof_is_of_a_port_on_a_kernel():
    exact, other = (
        replace(GOOD, dtype="bfloat16", error=0.0, bound=0.0),
        replace(GOOD, kernel="fused"),
    )
    found = proofs_of(
        [GOOD, HALF, exact, replace(BAD, check="step"), ABSENT, BAD, other]
    )
    assert found == [
        Proof("a", "stock", 6, ("step", "sequence"), 3, 1.0, 0.2),
        Proof("a", "fused", 1, (), 0, 2e-16, None),
    ]
    assert [proof.is_equal for proof in found] == [False, True]


def test_json_says_what_passed_and_what_is_offered():
    found = json.loads(
        equality_json([GOOD, BAD, ABSENT], {"x": "why"}, {"rich": "15.0"})
    )
    assert [(m["offered"], m["passed"]) for m in found["measurements"]] == [
        (True, True),
        (True, False),
        (False, False),
    ]
    assert (found["passed"], found["unavailable"], found["versions"]) == (
        False,
        {"x": "why"},
        {"rich": "15.0"},
    )
    for measured, passed in (([GOOD], True), ([], False), ([GOOD, ABSENT], False)):
        assert json.loads(equality_json(measured, {}, {}))["passed"] == passed


def test_the_keys_are_those_of_the_documentation():
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    section = page.partition("## For machines")[2].partition("##")[0]
    found = json.loads(equality_json([GOOD], {}, {}))
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.M)) == set(found)
    for key in found["measurements"][0]:
        assert f"`{key}`" in section

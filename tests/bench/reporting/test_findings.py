"""Findings for machines: the same in each format."""

import json
from typing import get_args
from xml.etree import ElementTree

import pytest
from trigru.bench.reporting.findings import Finding, Format, written

FOUND = [
    Finding("function", "linen's parts", "nn.RNN: 1.01 times as large", True, "flax/linen/recurrent.py:593 (mul)"),
    Finding("bits", "nnx, a|b", "by 1 unit\x1b[31m <&> ::error:: 5 %", False, "mine.py:7 (tanh of shape 4)"),
]


def test_what_could_not_be_judged_has_not_passed():
    assert json.loads(written("json", "trigru diff", [], [], is_judged=False))["passed"] is False
    assert ElementTree.fromstring(written("junit", "trigru diff", [], [], is_judged=False)).get("failures") == "1"


def test_json_and_junit_hold_what_was_found():
    content = json.loads(written("json", "trigru diff", ["FAILED"], FOUND))
    assert (content["passed"], content["head"]) == (False, ["FAILED"])
    assert content["findings"][0] == vars(FOUND[0])
    suite = ElementTree.fromstring(written("junit", "trigru diff", ["FAILED"], FOUND))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = suite.iter("failure")
    assert (failure.get("message"), failure.text) == (FOUND[0].text, FOUND[0].line)
    nothing = ElementTree.fromstring(written("junit", "trigru diff", ["Nothing changed."], []))
    assert (nothing.get("tests"), nothing.get("failures")) == ("1", "0")


def test_github_gets_an_annotation_at_lines_of_this_folder_and_a_summary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    _, first, second = written("github", "trigru diff", ["FAILED"], FOUND).splitlines()
    assert first == f"::error title=function%3A linen's parts::{FOUND[0].text} {FOUND[0].line}"
    assert second.startswith("::notice file=mine.py,line=7,title=bits%3A nnx%2C a|b::by 1 unit\\x1b[31m <&> ")
    assert second.endswith("5 %25 mine.py:7 (tanh of shape 4)")
    assert (tmp_path / "summary").read_text().rstrip() == written("markdown", "trigru diff", ["FAILED"], FOUND).rstrip()


@pytest.mark.parametrize("format", [name for name in get_args(Format) if name != "text"])
def test_no_format_passes_on_control_characters(format, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert "\x1b" not in written(format, "trigru diff", ["a\x1b"], FOUND)

"""`trigru report` and `trigru diff` of runs, from files: screens, pages and exit
codes.
"""

import json
from pathlib import Path

import msgspec
import pytest
from support.cli import invoke
from support.files import lines_of
from support.runs import (
    MACHINE,
    PROOF,
    SMALL,
    draw_run,
    run_of,
    save,
    with_machine,
    with_provenance,
)
from trigru.bench.results.run import Measured


@pytest.fixture
def written(tmp_path):
    def write(name, results):
        save(results, tmp_path / name / "results.json")
        return str(tmp_path / name)

    return write


def test_several_runs_are_shown_one_after_the_other(written):
    first = written("first", draw_run(1, **SMALL))
    second = written("second", draw_run(2, **SMALL))
    both = invoke("report", first, second).stdout
    assert both.index(f"{first}:") < both.index(f"{second}:")


def test_the_page_of_a_run_names_its_device(written, tmp_path):
    folder = written("run", draw_run(1, **SMALL))
    done = invoke("report", folder, "--output", str(tmp_path / "to"))
    assert done.exit_code == 0, done.stderr
    (page,) = (tmp_path / "to").iterdir()
    assert page.name == "report.html"
    assert MACHINE.device in page.read_text(encoding="utf-8")


def test_a_slower_arm_is_a_regression_and_problems_come_before_it(written):
    old, slow = (
        with_provenance(draw_run(1, changed, groups=("tiny/forward",)), equality=PROOF)
        for changed in ({}, {"linen": 1.5})
    )
    folder = written("old", old)
    found = invoke("diff", folder, written("slow", slow))
    assert found.exit_code == 1
    assert "FAILED: 1 arm slower by more than 5.0% (linen[apply])." in found.stdout
    assert (
        invoke("diff", folder, written("again", slow), "--fail-above", "0.6").exit_code
        == 0
    )
    elsewhere = written("elsewhere", with_machine(slow, device="another"))
    more = msgspec.structs.replace(
        old.trigru.plan, processes=old.trigru.plan.processes + 1
    )
    begun = f"{folder}/results.partial.jsonl"
    run = run_of(with_provenance(old, plan=more))
    Path(begun).write_bytes(
        lines_of([run.begun, *run.started, Measured(run.samples, run.facts)])
    )
    for other, codes in ((elsewhere, [125, 1]), (begun, [125, 0])):
        assert [
            invoke("diff", folder, other, *option).exit_code
            for option in ((), ("--anyway",))
        ] == codes
    assert (
        json.loads(invoke("diff", folder, begun, "--format", "json").stdout)["passed"]
        is False
    )

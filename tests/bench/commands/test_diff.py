"""`trigru diff` and its exit codes, and `trigru report`, from files."""

from pathlib import Path

import msgspec
import pytest
from support.cli import invoke
from support.files import lines_of
from support.runs import PROOF, draw_run, records_of, save, with_machine, with_provenance


@pytest.fixture
def files(tmp_path):
    """Writes a run into a folder of its own; returns the folder."""

    def write(name, results):
        folder = tmp_path / name
        folder.mkdir()
        save(results, folder / "results.json")
        return str(folder)

    return write


@pytest.fixture(scope="module")
def old():
    """A run that has a proof."""
    return with_provenance(draw_run(1, groups=("tiny/forward",)), equality=PROOF)


def test_a_run_does_not_differ_from_itself(files, old):
    folder = files("old", old)
    same = invoke("diff", folder, f"{folder}/results.json")
    assert same.exit_code == 0, same.stderr
    assert same.stderr == ""
    assert "tiny forward: float32" not in same.stdout
    assert "tiny forward: float32" in invoke("diff", folder, folder, "--details").stdout


def test_a_slower_arm_is_a_regression_and_problems_come_before_it(files, old):
    folder = files("old", old)
    slow = with_provenance(draw_run(1, {"linen": 1.5}, groups=("tiny/forward",)), equality=PROOF)
    found = invoke("diff", folder, files("slow", slow))
    assert found.exit_code == 1
    assert "FAILED: 1 arm is slower by more than 5.0% (linen 1 of 1)." in found.stdout
    assert invoke("diff", folder, files("again", slow), "--fail-above", "0.6").exit_code == 0
    elsewhere = files("elsewhere", with_machine(slow, device="another"))
    options = ((), ("--anyway",))
    assert [invoke("diff", folder, elsewhere, *option).exit_code for option in options] == [125, 1]
    more = msgspec.structs.replace(old.trigru.plan, processes=old.trigru.plan.processes + 1)
    begun = f"{folder}/results.partial.jsonl"
    Path(begun).write_bytes(lines_of(records_of(with_provenance(old, plan=more))[:-1]))
    assert [invoke("diff", folder, begun, *option).exit_code for option in options] == [125, 0]


def test_a_report_has_what_was_proven_only_where_something_was(files, old):
    found = invoke("report", files("old", old))
    assert found.exit_code == 0
    assert "Proven equal: plain JAX, linen" in found.stdout
    unproven = invoke("report", files("unproven", with_provenance(old, equality=None)))
    assert "Not verified before timing" in unproven.stdout

"""`trigru diff` and its exit codes, and `trigru report`, from files."""

import pytest
from support.cli import call, invoke
from support.runs import EQUAL, draw_run, make_arm, make_benchmark, make_results, slowed, with_provenance
from trigru.bench.results.files import save


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
    return with_provenance(draw_run(1, groups=("tiny/forward",)), equality=[EQUAL])


def test_a_run_does_not_differ_from_itself(files, old):
    folder = files("old", old)
    same = invoke("diff", folder, f"{folder}/results.json")
    assert same.exit_code == 0, same.stderr
    assert same.stderr == "none of 8 arms slower than before by more than 5.0%.\n"
    assert "equal, as before" in same.stdout
    assert "tiny forward: float32" not in same.stdout
    assert "tiny forward: float32" in invoke("diff", folder, folder, "--details").stdout


def test_a_slower_arm_is_a_regression_and_problems_come_before_it(files, old):
    folder = files("old", old)
    slow = with_provenance(draw_run(1, {"linen": 1.5}, groups=("tiny/forward",)), equality=[EQUAL])
    found = invoke("diff", folder, files("slow", slow))
    assert found.exit_code == 1
    assert "1 of 8 arms slower than before by more than 5.0%: tiny/forward/float32/stock/linen[apply]." in found.stderr
    assert "linen[apply]" in found.stdout
    assert invoke("diff", folder, files("again", slow), "--fail-above", "0.6").exit_code == 0
    whole = files("whole", slowed(old, 1.5))
    assert [invoke("diff", folder, whole, *option).exit_code for option in ((), ("--absolute",))] == [0, 1]
    elsewhere = files("elsewhere", with_provenance(slow, matmul_precision="tensorfloat32"))
    options = ((), ("--allow-missing",), ("--allow-other-machine",))
    assert [invoke("diff", folder, elsewhere, *option).exit_code for option in options] == [2, 2, 1]
    begun = files("begun", with_provenance(old, complete=False))
    assert [invoke("diff", folder, begun, *option).exit_code for option in options] == [2, 0, 2]


def test_files_that_have_nothing_in_common_are_refused(files, old):
    code, out, err = call("diff", files("old", old), files("other", draw_run(1, groups=("medium/forward",))))
    assert (code, out) == (2, "")
    assert "error: the files have no arm in common" in err


def test_a_report_has_what_was_proven_only_where_something_was(files, old):
    found = invoke("report", files("old", old))
    assert found.exit_code == 0
    assert "Proven equal before timing: linen" in found.stdout
    unproven = invoke("report", files("unproven", with_provenance(old, equality=None)))
    assert "Not verified before timing" in unproven.stdout
    copies = [make_arm(name, trial=1) for name in ("pure[jit]", "pure[jit]#2", "pure[jit]#3")]
    calibrated = make_results([make_benchmark(arm, [1.0] * 6) for arm in copies], equality=[EQUAL])
    assert "Proven equal before timing: linen" in invoke("report", files("calibrated", calibrated)).stdout

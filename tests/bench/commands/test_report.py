"""`trigru report` of what is no run, of a run that is named twice, and `trigru diff --output`."""

import shutil
from pathlib import Path

import pytest
from support.cli import call, invoke
from support.runs import draw_run, save

RESULTS = Path(__file__).parents[3] / "docs" / "results"


@pytest.fixture
def run(tmp_path):
    """The folder of a small run."""
    save(draw_run(1, groups=("tiny/forward",), processes=3, rounds=5), tmp_path / "run" / "results.json")
    return tmp_path / "run"


def test_what_another_command_wrote_is_shown_with_its_page(run, tmp_path):
    said, folder = "Cold start: from Python to the first train step", tmp_path / "of"
    folder.mkdir()
    shutil.copy(RESULTS / "cold_start.json", folder)
    done = invoke("report", str(folder), "--output", str(tmp_path / "to"))
    assert done.exit_code == 0, done.stderr
    assert said in done.stdout
    (page,) = (tmp_path / "to").iterdir()
    assert page.name == "cold_start.html"
    assert said in page.read_text()
    assert "AMD EPYC" in page.read_text()
    assert invoke("report", str(folder / "cold_start.json")).stdout == done.stdout
    both = invoke("report", str(run), str(folder)).stdout
    assert both.index(f"{run}:") < both.index(f"{folder}:") < both.index(said), "one after the other"


def test_it_says_what_it_is_where_a_run_is_asked_for(run):
    starts = str(RESULTS / "cold_start.json")
    for words in (("diff", str(run), starts), ("report", starts, "--format", "json")):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert "`trigru compare --cold-start`, which has no run. `trigru report` shows it." in err


def test_what_changed_is_a_page(run, tmp_path):
    new = tmp_path / "new"
    save(draw_run(2, {"linen": 1.5}, groups=("tiny/forward",), processes=3, rounds=5), new / "results.json")
    done = invoke("diff", str(run), str(new), "--output", str(tmp_path / "to"))
    page = (tmp_path / "to" / "diff.html").read_text()
    assert done.exit_code == 1, "a regression is one, with a page of it"
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["diff.html"]
    assert "Speed: of 8 arms, 1 is slower" in page
    assert "tiny forward: float32" in page, "all arms, as with --details"


def test_a_page_cannot_be_written_over_a_file(run):
    done = invoke("report", str(run), "--output", str(run / "results.json"))
    assert "is a file, expected a folder for report.html" in str(done.exception)
    assert done.stdout == ""


def test_a_table_without_a_number_is_refused(run):
    code, _, err = call("report", str(run), "--format", "csv", "--ratio", "pairwise", "--style", "nnx.jit")
    assert (code, "there is no number of these frameworks" in err) == (2, True)

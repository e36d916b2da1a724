"""Tables to take away: each format reads back as the numbers of the run, and what a file says does nothing in it."""

import csv
import io
import json
import re
from itertools import product

import numpy as np
import pytest
from support.cli import call, invoke
from support.runs import draw_run, make_arm, save, with_benchmarks, with_facts, with_machine, with_provenance
from trigru.bench.analysis.crosstab import KINDS, Cell, crosstab
from trigru.bench.analysis.merge import load
from trigru.bench.reporting.table import FORMATS, _marked, as_csv, as_json, as_latex, as_markdown, column_name
from trigru.bench.results.arm import Untimed

BOTH = ("documented", "functional")
HOSTILE = '=cmd|"/c calc"!A1 \\input{/etc/passwd} | <script> [x](http://y) \x1b[2J $1^2_~ 50% & #'
#: What our tables say to LaTeX.
OURS = set(
    re.findall(
        r"\w+",
        "usepackage begin end centering footnotesize setlength tabcolsep caption toprule midrule bottomrule shortstack "
        "scriptsize par smallskip parbox linewidth raggedright mu textbackslash textbar textless textgreater "
        "textasciicircum textasciitilde symbol",
    )
)
GROUPS = ("tiny/forward", "question@hidden=512/train_step")


@pytest.fixture(autouse=True)
def _quick(quick_bootstrap):
    """Bootstraps of a hundred samples."""


@pytest.fixture
def run():
    """A run of two groups, with an arm that has no number."""
    found = draw_run(1, groups=GROUPS, processes=2, rounds=8)
    found.untimed.append(Untimed(make_arm("linen[train_state]", "question@hidden=512", "train_step"), "it is slow"))
    return found


def numbers(table):
    """By row and column, in full."""
    return [
        {column_name(c): (cell.value, cell.low, cell.high) for c, cell in row.cells.items() if isinstance(cell, Cell)}
        for row in table.rows
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_csv_and_json_have_every_number_in_full(run, kind):
    table, unit = crosstab([run], kind, styles=BOTH), "time_s" if kind == "time" else "ratio"
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    content = json.loads(as_json(table))
    assert content["columns"] == [column_name(column) for column in table.columns]
    for row, of_json, expected in zip(rows, content["rows"], numbers(table), strict=True):
        for name, found in expected.items():
            assert tuple(float(row[f"{name} {field}"]) for field in (unit, "low", "high")) == found
            assert tuple(of_json["cells"][name][field] for field in (unit, "low", "high")) == found
        missing = [name for name in content["columns"] if name not in expected]
        for name in missing:
            assert row[f"{name} {unit}"] == ""
            assert row[f"{name} note"] == of_json["cells"][name]["missing"] != ""
        assert (row["workload"], row["phase"]) == (of_json["workload"], of_json["phase"])
        assert (row["device"], row["date"]) == ("A CPU", "2026-11-04T10:00:00+00:00")
        assert "jax 0.12.0" in row["versions"]


def test_markdown_shows_ratios_with_intervals_brackets_and_reasons(run):
    table = crosstab(
        [with_facts(run, ratio=1.25, ratio_low=1.234, ratio_high=1.5, verdict="slower")], "pure", styles=BOTH
    )
    lines = as_markdown(table).splitlines()
    assert lines[0].startswith("| workload | phase | linen[documented] | linen[functional] | nnx[documented] |")
    assert lines[2].count("1.250 [1.234, 1.500]") == 6
    assert "| question@hidden=512 | train_step | - | 1.250 [1.234, 1.500] |" in lines[3]
    text = "\n".join(lines)
    assert "- documented: linen[apply], nnx[nnx.jit], equinox[filter_jit]." in text
    assert "\\- in linen[documented]: it is slow (question@hidden=512 train_step)." in text
    assert "- 2026-11-04, A CPU (cpu, 16 threads): trigru bench; python 3.13.5, jax 0.12.0" in text
    near = with_facts(
        run,
        ratio=1.0,
        ratio_low=0.9,
        ratio_high=1.1,
        differs="resets before the product",
        gate=None,
        verdict="indistinguishable",
    )
    table = crosstab([near], "pure", styles=("functional",))
    text = as_markdown(table)
    assert "| (1.000 [0.900, 1.100])* |" in text
    assert "\\shortstack[r]{(1.000)*\\\\{\\scriptsize[0.900, 1.100]}}" in as_latex(table)
    assert "- nnx[split-merge]: * other equations (resets before the product), so it is not held to the oracle." in text


def test_a_ratio_has_a_star_if_one_of_the_two_has_other_equations(run):
    other = with_benchmarks(
        run, [with_facts(b, differs="resets", gate=None) if b.arm.port == "nnx" else b for b in run.benchmarks]
    )
    cells = [
        cell
        for row in crosstab([other], "pairwise", styles=("functional",)).rows
        for cell in row.cells.values()
        if isinstance(cell, Cell)
    ]
    assert {len(cell.arms) for cell in cells} == {2}
    starred = [_marked(cell, "x").endswith("*") for cell in cells]
    assert starred == [any(b.arm.port == "nnx" for b in cell.arms) for cell in cells]
    assert len({*starred}) == 2


def test_times_have_a_unit_in_every_cell(run):
    text = as_markdown(crosstab([run], "time", styles=("documented",)))
    cells = [cell.strip() for line in text.splitlines()[2:4] for cell in line.strip("|").split("|")[2:]]
    assert len(cells) == 8
    assert all(re.fullmatch(r"-|[\d.]+ (s|ms|µs) \[[\d.]+, [\d.]+\]", cell) for cell in cells), cells


def test_several_files_stand_beside_each_other_with_what_each_is_from(run):
    other = with_machine(run, device="Another CPU", versions={"python": "3.14.0", "jax": "0.13.0"})
    table = crosstab([run, with_provenance(other, complete=False)], "pure", styles=BOTH)
    lines = as_markdown(table).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:6]] == ["1", "2", "1", "2"]
    text = "\n".join(lines)
    assert "- File 1: 2026-11-04, A CPU (cpu, 16 threads)" in text
    assert "- File 2: INTERRUPTED: not all was measured.; 2026-11-04, Another CPU" in text
    assert "do not compare numbers of different files" in text
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(row["file"], row["device"]) for row in rows[:2]] == [("1", "A CPU"), ("2", "Another CPU")]
    content = json.loads(as_json(table))
    assert [file["versions"]["jax"] for file in content["files"]] == ["0.12.0", "0.13.0"]
    assert [row["file"] for row in content["rows"]] == [int(row["file"]) for row in rows] == [1, 2, 1, 2]
    assert "Another CPU" in as_latex(table)


@pytest.mark.parametrize(("kind", "files"), list(product(KINDS, (1, 2))))
def test_latex_is_balanced_and_every_row_has_every_column(run, kind, files):
    text = as_latex(crosstab([run] * files, kind, styles=BOTH))
    assert text.isascii()
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert opened == re.findall(r"\\end\{(\w+)\}", text)[::-1] == ["table", "tabular"]
    plain = re.sub(r"\\.", "", text)
    depth = np.cumsum([(c == "{") - (c == "}") for c in plain])
    assert depth.min() == depth[-1] == 0
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    rows = text[text.index("\\toprule") : text.index("\\bottomrule")].splitlines()[1:]
    assert len([row for row in rows if row != "\\midrule"]) == (1 if kind == "pairwise" else 2) + files * (
        4 if kind == "pairwise" else 2
    )
    for row in rows:
        if row != "\\midrule":
            assert row.endswith(" \\\\")
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, row


def hostile(run):
    """A run whose every text of a stranger wants to do something."""
    run = with_machine(run, device=HOSTILE, versions={HOSTILE: HOSTILE})
    run = with_facts(with_provenance(run, command=[HOSTILE]), differs=HOSTILE, gate=None)
    run.untimed[0] = Untimed(run.untimed[0].arm, HOSTILE)
    return run


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_file_says_does_nothing(run, name):
    text = FORMATS[name](crosstab([hostile(run)], "pure", styles=BOTH))
    assert text.replace("\n", "").isprintable()
    if name == "md":
        assert "<script" not in text
        assert "](" not in text
        assert len({re.sub(r"\\\|", "", line).count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    if name == "csv":
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert any(cell.startswith("'=cmd") for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    if name == "latex":
        assert set(re.findall(r"\\([A-Za-z]+)", text)) <= OURS
        assert not re.search(r"(?<!\\)[#^~]", text)
        assert len(re.findall(r"(?<!\\)%", text)) == 1, "the line that names the package"
    if name == "json":
        assert json.loads(text)["files"][0]["device"] == HOSTILE.replace("\x1b", "\\x1b")


@pytest.mark.parametrize(("kind", "to"), list(product(KINDS, FORMATS)))
def test_the_same_file_gives_the_same_bytes(run, tmp_path, kind, to):
    save(run, tmp_path / "results.json")
    texts = {
        invoke("table", str(path), "--ratio", kind, "--format", to).stdout
        for path in (tmp_path, tmp_path / "results.json")
    }
    assert texts == {FORMATS[to](crosstab([load(tmp_path)], kind, styles=BOTH))}


def test_options_choose_rows_and_columns(run, tmp_path):
    save(run, tmp_path / "results.json")
    arguments = (
        "--format",
        "csv",
        "--phase",
        "forward",
        "--workload",
        "tiny",
        "--style",
        "leaves",
        "--style",
        "split-merge",
    )
    (row,) = csv.DictReader(io.StringIO(invoke("table", str(tmp_path), *arguments).stdout))
    assert (row["workload"], row["phase"]) == ("tiny", "forward")
    assert [name for name in row if name.endswith(" ratio")] == ["nnx[leaves] ratio", "nnx[split-merge] ratio"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "html"), "unknown format 'html'. Known: md, csv, latex, json."),
        (("--ratio", "best"), "unknown ratio 'best'. Known: pure, pairwise, time."),
        (
            ("--workload", "huge"),
            "unknown workload of these results 'huge'. Known: tiny, question, question@hidden=512.",
        ),
        (("--style", "pmap"), "unknown call style of these results 'pmap'. Known: jit,"),
    ],
)
def test_a_word_that_no_file_has_is_told(run, tmp_path, arguments, message):
    save(run, tmp_path / "results.json")
    code, out, err = call("table", str(tmp_path), *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_that_is_none_is_told(tmp_path):
    code, out, err = call("table", str(tmp_path))
    assert (code, out) == (2, "")
    assert "Pass a results.json that trigru wrote." in err


def test_an_arm_that_ran_elsewhere_is_marked(run):
    moved = [with_facts(b, backend="gpu", device="A GPU") if b.name == "nnx[nnx.jit]" else b for b in run.benchmarks]
    table, said = crosstab([with_benchmarks(run, moved)], "pure", styles=BOTH), "nnx[nnx.jit]: ran on A GPU (gpu)"
    assert f"- {said}." in as_markdown(table)
    rows, content = csv.DictReader(io.StringIO(as_csv(table))), json.loads(as_json(table))
    for row, of_json in zip(rows, content["rows"], strict=True):
        assert row["nnx[documented] note"] == said
        assert row["nnx[functional] note"] == ""
        assert of_json["cells"]["nnx[documented]"]["remarks"] == [said]

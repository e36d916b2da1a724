"""What each kind of run shows on the screen, and in which order; what its page and its tables have."""

import html
from dataclasses import replace

import msgspec
import pytest
from support.cli import invoke
from support.runs import EQUAL, draw_run, plan, save, with_facts, with_machine, with_provenance
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.diff import diff
from trigru.bench.commands import pages, report, tables
from trigru.bench.commands.pages import write_diff, write_pages
from trigru.bench.reporting.provenance import origin_lines, provenance_lines
from trigru.bench.reporting.sections import Section
from trigru.bench.reporting.sight import sight_lines

#: What makes tables, by the module that shows them.
MAKERS = {
    report: ("equality", "scaling", "overhead", "kernel"),
    tables: ("equality", "scaling", "overhead", "kernel", "timing", "framework"),
}


@pytest.fixture(scope="module")
def run():
    """A small run that has a proof."""
    return with_provenance(draw_run(1, groups=("tiny/forward",), processes=3, rounds=5), equality=[EQUAL])


def tables_by(name):
    """Two tables that are called by their maker."""
    return lambda *_: [Section(f"{name} {n}", ("x",), []) for n in (1, 2)]


@pytest.fixture
def screen(monkeypatch):
    """Which tables and lines are shown, by their makers."""
    seen = []
    for module, names in MAKERS.items():
        for name in names:
            monkeypatch.setattr(module, f"{name}_tables", tables_by(name))
    for name in ("answer_lines", "proof_lines", "sight_lines", "provenance_lines", "load_warnings"):
        monkeypatch.setattr(
            report, name, lambda *given, name=name: [name, *(() if name != "answer_lines" else given[1])]
        )

    def show(sections, *, above=(), details=False):
        seen.extend([*above, *(f"{s.title}{' in full' * details}" for s in sections)])

    monkeypatch.setattr(report, "show", show)
    monkeypatch.setattr(report, "show_lines", seen.extend)
    return seen


def both(*names):
    return [f"{name} {n}" for name in names for n in (1, 2)]


PLAIN, DETAILED = ["answer_lines", "load_warnings"], ["answer_lines"]
NO_ANSWER = ["proof_lines", "sight_lines"]
TIMES = both("framework", "scaling", "overhead", "kernel", "timing")
SWEPT = {"workloads": ("tiny@hidden=4", "tiny@hidden=8")}


@pytest.mark.parametrize(
    ("changes", "answered", "shown"),
    [
        ({}, True, [*both("equality", "scaling", "kernel"), *PLAIN]),
        (SWEPT, True, [*both("equality", "scaling", "kernel"), "overhead 2", *PLAIN]),
        ({"devices": (1, 2)}, True, [*both("equality", "scaling", "kernel"), *PLAIN]),
        ({"devices": (1, 2)}, False, [*both("equality", "scaling", "kernel"), *NO_ANSWER]),
        ({}, False, [*both("equality"), "provenance_lines", *TIMES, *NO_ANSWER]),
    ],
)
def test_the_screen_of_each_kind_of_run(run, screen, changes, answered, shown):
    asked = run.trigru.plan
    run = with_provenance(run, plan=plan(processes=asked.processes, rounds=asked.rounds, ports=asked.ports, **changes))
    found = msgspec.structs.replace(answer(run), **({} if answered else {"rows": []}))
    report.show_run(run, found=found)
    assert screen == shown
    screen.clear()
    report.show_run(run, found=found, details=True)
    end = DETAILED if answered else NO_ANSWER
    assert screen == ["provenance_lines", *(f"{title} in full" for title in both("equality") + TIMES), *end]


def test_of_a_proof_that_failed_all_of_that_port_and_kernel_is_shown(run, screen, monkeypatch):
    asked = []
    monkeypatch.setattr(report, "equality_tables", lambda found: asked.extend(found) or [])
    right = [EQUAL, replace(EQUAL, port="nnx"), replace(EQUAL, kernel="fused")]
    wrong = replace(EQUAL, check="masks", error=1.0)
    report.show_run(with_provenance(run, equality=[*right, wrong]))
    assert asked == [EQUAL, wrong]


def test_an_answer_without_rows_is_json_and_that_is_said(run, capsys):
    for rows in (answer(run).rows, []):
        found = msgspec.structs.replace(answer(run), rows=rows)
        report.show_run(run, found=found, json=True, details=True)
        out, err = capsys.readouterr()
        assert out == msgspec.json.encode(found).decode() + "\n"
        assert ("the answer has no rows" in err) == (not rows)


# several files


def test_what_is_shown_is_told_apart_only_where_it_is_more_than_one(run, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(report, "show_run", lambda run, **how: shown.append(how))
    for name, found in (("a", run), ("b", draw_run(2, groups=("tiny/forward",), processes=2, rounds=4))):
        save(found, tmp_path / name / "results.json")
    places = [str(tmp_path / name) for name in "ab"]
    assert invoke("report", places[0], "--details").stdout == ""
    assert invoke("report", *places).stdout == f"{places[0]}:\n\n{places[1]}:\n"
    assert invoke("report", *places, "--json").stdout == ""
    assert [(how["details"], how["json"]) for how in shown] == [
        (True, False),
        *[(False, False)] * 2,
        *[(False, True)] * 2,
    ]
    assert [how["found"].datetime for how in shown] == [run.datetime] * 5


def test_a_page_cannot_be_written_over_a_file(run, tmp_path):
    save(run, tmp_path / "results.json")
    found = invoke("report", str(tmp_path), "--output", str(tmp_path / "results.json"))
    assert "is a file, expected a folder for report.html" in str(found.exception)
    assert found.stdout == ""


def test_what_is_written_is_what_is_told_the_page_first(run, tmp_path):
    for number, runs in enumerate(([run], [run, run])):
        folder = tmp_path / str(number)
        written = write_pages(folder, runs, list(map(answer, runs)))
        assert {path.name for path in written} == {path.name for path in folder.iterdir()}
        assert [path.name for path in written][:2] == ["report.html", "report.md"][: len(written)]
        assert len(written) == (4, 1)[number]
    text = (tmp_path / "0" / "report.md").read_text()
    lines = [*provenance_lines(run), *sight_lines(run)]
    places = [text.replace("\\", "").find(line.split(" (")[0]) for line in lines]
    assert -1 not in places
    assert places == sorted(places)
    assert text.index("Equality with the NumPy oracle") < text.index("tiny forward")


def test_each_picture_is_of_its_run_and_is_removed_where_there_is_none(run, tmp_path, monkeypatch):
    names, removed = ("answer", "scaling", "sweep"), []
    monkeypatch.setattr(pages, "remove_picture", lambda name, folder: removed.append((name, folder)))
    for name in names:
        monkeypatch.setattr(pages, f"{name}_picture", lambda of: None)
    write_pages(tmp_path, [run], [answer(run)])
    assert removed == [(name, tmp_path) for name in names]


def test_a_page_of_what_changed_says_where_each_run_comes_from(run, tmp_path):
    new = with_machine(with_facts(run, device="another"), device="another")
    found = diff(run, new, allow_other_machine=True)
    written = write_diff(tmp_path, found)
    assert [path.name for path in written] == ["diff.html", "diff.png", "diff.svg"]
    page = html.unescape((tmp_path / "diff.html").read_text())
    places = [page.find(f"{name}: {line}") for name, of in (("OLD", run), ("NEW", new)) for line in origin_lines(of)]
    assert -1 not in places
    assert places == sorted(places)

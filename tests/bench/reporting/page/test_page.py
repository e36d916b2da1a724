"""The page of some runs: every number under its heading, every string as text, and nothing from elsewhere."""

import base64
import hashlib
import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from support.pages import Page
from support.runs import (
    EQUAL,
    draw_kernels,
    draw_run,
    make_arm,
    make_benchmark,
    plan,
    with_benchmarks,
    with_facts,
    with_machine,
    with_provenance,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.pairs import other_clock
from trigru.bench.analysis.rates import rates_of
from trigru.bench.analysis.statistics import Comparison
from trigru.bench.reporting.answer import advice_lines, legend_lines, limit_lines, proof_lines
from trigru.bench.reporting.numbers import format_bytes, format_interval, format_ratio, format_time
from trigru.bench.reporting.page.page import SCRIPTS, names_of, page
from trigru.bench.reporting.page.samples import Samples
from trigru.bench.reporting.page.tables import programs_table, times_table
from trigru.bench.reporting.reasons import reason_lines
from trigru.bench.results.arm import Untimed

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\x1b[31m\u202e\" onload='x' {{7*7}} $x^2_"
OWN_ELEMENTS = {
    "html", "head", "meta", "title", "link", "style", "script", "body", "header", "nav", "main", "section", "dialog",
    "h1", "h2", "h3", "p", "a", "code", "div", "span", "figure", "figcaption", "table", "thead", "tbody", "tr", "th",
    "td", "caption", "button", "form", "svg", "g", "defs", "path", "use", "text", "clippath", "rect",
}  # fmt: skip


@pytest.fixture(scope="module")
def run():
    """A run whose numbers all differ."""
    drawn = draw_run(3)
    found = []
    for number, b in enumerate(drawn.benchmarks):
        build = msgspec.structs.replace(
            b.facts.build, trace_s=0.1 + number / 1e3, lower_s=0.3 + number / 1e3,
            compile_s=0.5 + number / 1e3, first_call_s=0.7 + number / 1e3,
        )  # fmt: skip
        program = msgspec.structs.replace(
            b.facts.program, dots=100 + number, whiles=200 + number, fusions=300 + number, transposes=400 + number,
            temp_bytes=1024 * (number + 1),
        )  # fmt: skip
        found.append(
            with_facts(
                b,
                build=build,
                program=program,
                leaves=500 + number,
                other_s=[1e-6 * (number + 1)] * 5,
                other_process=list(range(5)),
            )
        )
    untimed = [Untimed(make_arm("linen[leaves]"), "its first results were wrong")]
    return msgspec.structs.replace(with_provenance(with_benchmarks(drawn, found), equality=[EQUAL]), untimed=untimed)


@pytest.fixture(scope="module")
def read(run):
    return Page(page([run]))


def arm_of(row):
    return row["workload"], row["phase"], row["framework"], row["style"]


def test_every_time_stands_in_the_row_of_its_arm_and_under_its_heading(run, read):
    rows = read.rows("Every time")
    assert len(rows) == len(run.benchmarks) + len(run.untimed)
    names = {"pure": "plain JAX", "nnx": "NNX", "equinox": "Equinox"}
    phases = {"forward": "forward pass", "train_step": "train step"}
    for b, row in zip(run.benchmarks, rows, strict=False):
        arm, rates = b.arm, rates_of(run, b)
        name = names.get(arm.port, arm.port) + (" #2" if arm.copy == 2 else "")
        assert arm_of(row) == (str(arm.workload), phases[arm.phase], name, arm.style)
        assert row["time of a call"] == format_time(rates.time_s)
        assert row["other clock"] == format_time(b.facts.other_s[0])
        other = other_clock(run, b)
        said = "1" if arm.is_baseline else format_ratio(other.ratio, other.verdict)
        assert row["its / plain JAX"] == said
        ratio = Comparison(b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high)
        assert row["time / plain JAX"] == ("1" if arm.is_baseline else format_interval(ratio))
        said = {"baseline": "1 (baseline)", "duplicate": "A/A"}.get(arm.role, b.facts.verdict)
        assert row["verdict"] == said


def test_each_number_sorts_by_itself(run):
    """A cell's key is the number that it shows: keys in the order of the columns, one list for each arm."""
    shown = times_table([run], [""], Samples([run])).rows[: len(run.benchmarks)]
    for b, row in zip(run.benchmarks, shown, strict=True):
        rates, other = rates_of(run, b), other_clock(run, b)
        keys = [entry.order for entry in row if entry.order is not None]
        ratio, its = (1.0, 1.0) if b.arm.is_baseline else (b.facts.ratio, other.ratio.ratio)
        assert keys == [rates.time_s, ratio, b.facts.other_s[0], its, rates.steps_per_s, rates.flop_per_s]


def test_a_column_of_one_word_is_said_once_above_the_table(read, rng):
    said = "In every row: kernel stock, dtype float32, compared in stock."
    assert read.text.count(said) == 2
    kernels = Page(page([draw_kernels(rng)]))
    assert {row["kernel"] for row in kernels.rows("Every time")} == {"stock", "fused"}
    assert kernels.text.count("In every row: dtype float32.") == 2


def test_a_busy_machine_is_said_once(run):
    for loads in ({"load_before": 99.0}, {"load_after": 99.0}, {"load_before": 99.0, "load_after": 98.0}):
        assert Page(page([with_provenance(run, **loads)])).text.count("The machine was busy") == 1


def test_noise_that_hides_what_one_would_choose_by_is_said_first(run):
    noisy = with_benchmarks(run, [with_facts(b, floor=0.2) for b in run.benchmarks])
    found = Page(page([noisy]))
    (said,) = re.findall("Too noisy to choose by in every row: the noise hides differences of 20%", found.text)
    assert found.text.index(said) < found.text.index("Proven equal")


def test_an_arm_without_a_number_says_why(read):
    (row,) = (row for row in read.rows("Every time") if row["style"] == "leaves" and row["framework"] == "linen")
    assert row["time of a call"].strip() == "no number: its first results were wrong"
    assert {
        row[name].strip() for name in ("time / plain JAX", "verdict", "other clock", "its / plain JAX", "steps/s")
    } == {"-"}


def test_no_memory_is_a_number_and_unknown_memory_is_none(run):
    own = [b for b in run.benchmarks if b.arm.role != "duplicate"][:2]
    changed = [
        with_facts(b, program=msgspec.structs.replace(b.facts.program, temp_bytes=size))
        for size, b in zip((0, None), own, strict=True)
    ]
    shown = programs_table([with_benchmarks(run, changed)], [""]).rows
    (none,), (unknown,) = ([entry for entry in row if entry.text in (format_bytes(0), "")] for row in shown)
    assert (none.text, none.order) == (format_bytes(0), 0)
    assert unknown.why == "XLA did not tell"


def test_a_program_and_its_compile_times_stand_under_their_headings(run, read):
    others = [b for b in run.benchmarks if b.arm.role != "duplicate"]
    for b, row in zip(others, read.rows("Compile times and programs"), strict=True):
        build, program = b.facts.build, b.facts.program
        times = build.trace_s, build.lower_s, build.compile_s, build.first_call_s
        assert [row[name] for name in ("trace", "lower", "compile", "first call")] == list(map(format_time, times))
        counts = b.facts.leaves, program.dots, program.whiles, program.fusions, program.transposes
        columns = ("leaves", "dots", "loops", "fusions", "transposes")
        assert [row[name] for name in columns] == list(map(str, counts))
        assert row["temporary memory"] == format_bytes(program.temp_bytes)


def test_pairs_are_those_of_the_answer(run, read):
    found = answer(run)
    told = [(d, way) for row in found.rows for way in row.pairs for d in row.pairs[way]]
    rows = read.rows("Frameworks against each other")
    assert len(rows) == len(told) > 10
    for (d, way), row in zip(told, rows, strict=True):
        assert (row["one"], row["other"], row["verdict"]) == (d.one, d.other, d.verdict)
        assert row["one / other"] == format_interval(Comparison(d.ratio, d.low, d.high))
        assert way in row["called"]


def test_the_sentences_of_the_screen_come_first(run, read):
    found = answer(run)
    for line in [
        *legend_lines(found),
        *proof_lines(found),
        *reason_lines(found),
        *advice_lines(found),
        *limit_lines(found),
    ]:
        said = " ".join(line.removeprefix("- ").replace("`", " ").split())
        assert re.sub(r"\s*([,;:.)])", r"\1", said) in re.sub(r"\s*([,;:.)])", r"\1", read.text), line
    assert read.html.index("Proven equal") < read.html.index("<svg ")
    assert "tiny: 4 inputs, 8 units, 1 sequence of 8 steps." in read.text


def test_a_machine_that_was_busy_is_warned_of_before_any_number(run):
    found = Page(page([with_provenance(run, load_after=99.0)])).html
    warning = found.index('<p class="warning">The machine was busy: 99.0 runnable processes')
    assert warning < found.index("Proven equal") < found.index("<svg ")


def test_a_number_opens_to_its_own_samples(run, read):
    samples, opened = (
        read.samples(),
        [a["data-arms"] for tag, a in read.elements if tag == "button" and "data-arms" in a],
    )
    assert len(opened) > len(run.benchmarks)
    assert [arm["name"] for arm in samples["arms"]] == [b.name for b in run.benchmarks]
    for arm, b in zip(samples["arms"], run.benchmarks, strict=True):
        np.testing.assert_allclose(arm["us"], b.time_s * 1e6, rtol=6e-4)
        assert samples["processes"][arm["group"]] == b.facts.process
    times = re.findall(r'data-arms="(\d+)">([^<]*)</button>', read.html)
    for place, text in times:
        assert text.rstrip("*") == format_time(float(np.median(run.benchmarks[int(place)].time_s)))
    pairs = [tuple(map(int, p.split(","))) for p in opened if "," in p]
    assert all(run.benchmarks[a].group == run.benchmarks[b].group for a, b in pairs)
    of_pairs = re.findall(
        r"<td class=\"filter\">([^<]*\[[^<]*)</td>\s*<td class=\"filter\">([^<]*\[[^<]*)</td>\s*"
        r"<td class=\"number\"[^>]*><button[^>]*data-arms=\"(\d+),(\d+)\"",
        read.html,
    )
    assert of_pairs
    for one, other, a, b in of_pairs:
        assert (run.benchmarks[int(a)].name, run.benchmarks[int(b)].name) == (one, other)


def test_nothing_comes_from_elsewhere_and_only_its_own_scripts_run(read):
    for tag, attributes in read.elements:
        assert tag in OWN_ELEMENTS, tag
        assert not {name for name in attributes if name.startswith("on")}
        target = attributes.get("src") or (attributes.get("href") if tag != "a" else "") or ""
        assert not target or target.startswith(("data:", "#"))
    (policy,) = (a["content"] for tag, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    scripts = re.findall(r"<script>(.*?)</script>", read.html, flags=re.DOTALL)
    hashes = ["sha256-" + base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert len(hashes) == len(SCRIPTS) + 1
    assert re.findall(r"'(sha256-[^']*)'", policy) == hashes
    assert policy.startswith("default-src 'none'")


def test_what_a_file_holds_is_text(run):
    hostile = with_machine(
        with_provenance(run, command=[HOSTILE], equality=[replace(EQUAL, check=HOSTILE)]),
        device=HOSTILE, versions={"jax": HOSTILE, HOSTILE: "1"},
    )  # fmt: skip
    named = [
        msgspec.structs.replace(b.arm, style=HOSTILE if b.arm.style == "nnx.jit" else b.arm.style)
        for b in run.benchmarks
    ]
    benchmarks = [make_benchmark(arm, b.time_s, b.facts.process) for arm, b in zip(named, run.benchmarks, strict=True)]
    untimed = [Untimed(make_arm(f"{HOSTILE}[x]"), HOSTILE)]
    hostile = msgspec.structs.replace(with_benchmarks(hostile, benchmarks), untimed=untimed)
    found = Page(page([hostile, run]))
    assert {tag for tag, _ in found.elements} <= OWN_ELEMENTS
    assert len([tag for tag, _ in found.elements if tag == "script"]) == len(SCRIPTS) + 2
    assert "\x1b" not in found.html
    assert "\u202e" not in found.html
    assert "{{7*7}}" in found.html
    assert "<img src=x onerror=alert(1)>" in found.text


def test_runs_stand_side_by_side_and_each_row_says_which_it_is(run):
    other = with_machine(draw_run(8, processes=3), device="Another CPU")
    found, names = Page(page([run, other])), names_of([run, other])
    assert names[0].startswith("A CPU, 2026-11-04, ")
    assert names[1].startswith("Another CPU")
    for heading in ("Every time", "Frameworks against each other"):
        assert {row["run"] for row in found.rows(heading)} == {*names}
    assert [h for h in found.tables if h in names], "the answer of each run stands below its name"
    assert names_of([run, run]) == [f"{names[0]} (1)", f"{names[0]} (2)"]
    samples, benchmarks = found.samples(), [*run.benchmarks, *other.benchmarks]
    assert run.groups()[run.benchmarks[0].group][0].facts.process != other.benchmarks[0].facts.process
    for arm, b in zip(samples["arms"], benchmarks, strict=True):
        assert (arm["name"], samples["processes"][arm["group"]]) == (b.name, b.facts.process)


def test_a_sweep_and_a_kernel_have_their_own(rng):
    assert "The fused kernel against each framework's own cell" in " ".join(Page(page([draw_kernels(rng)])).tables)
    benchmarks = [
        make_benchmark(make_arm(name, f"tiny@hidden={size}"), [1e-3] * 6, flops=float(size))
        for size in (16, 8)
        for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")
    ]
    sizes = plan(workloads=("tiny@hidden=16", "tiny@hidden=8"))
    swept = page([with_provenance(with_benchmarks(draw_run(1), benchmarks), plan=sizes)])
    assert "Framework overhead against size" in swept
    assert "against the swept size" in swept


def test_every_picture_says_what_it_shows(run, read):
    pictures = [attributes for tag, attributes in read.elements if tag == "svg"]
    assert len(pictures) == 4
    assert all(a["role"] == "img" and a["aria-label"] for a in pictures)
    words = pictures[0]["aria-label"]
    cell = answer(run).rows[0].cells["documented"]["nnx"]
    assert f"NNX {format_time(cell.time_s)}" in words
    assert "#010203" not in read.html, "ink has the colour of the page's text"

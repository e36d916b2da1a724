"""Tables of times: each cell holds what its heading says, and what must be heeded is pointed at."""

import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from support.runs import (
    PLAN,
    PROGRAM,
    make_arm,
    make_benchmark,
    make_results,
    with_facts,
    with_machine,
    with_provenance,
)
from trigru.bench.commands.report import tables_of
from trigru.bench.reporting.numbers import format_rate, format_time
from trigru.bench.reporting.provenance import provenance_lines, short_group
from trigru.bench.reporting.sections import markdown, terminal
from trigru.bench.reporting.times import closing_tables, summary_tables, timing_tables
from trigru.bench.results.files import load
from trigru.bench.results.record import Untimed

ARMS = [make_arm(name) for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")]
RESULTS = make_results(
    [
        make_benchmark(
            arm,
            np.array([1, 2, 3]) * number * 1e-4,
            pipelined_s=[number * 5e-5],
            leaves=9 + number,
            program=msgspec.structs.replace(PROGRAM, dots=number),
        )
        for number, arm in enumerate(ARMS, start=1)
    ]
)


@pytest.fixture(scope="module")
def full():
    """The longest run that is published."""
    return load(Path(__file__).parents[3] / "docs" / "results" / "cpu.json")


def printed(results, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal(tables_of(results)))
    return console.file.getvalue()


def replaced(results, change):
    """A run whose benchmarks are changed one by one; those changed to None are left out."""
    changed = [found for b in results.benchmarks if (found := change(b)) is not None]
    return msgspec.structs.replace(results, benchmarks=changed)


def test_a_busy_machine_an_interruption_and_a_noisy_group_are_pointed_at():
    busy = with_machine(with_provenance(RESULTS, load_before=5.0), threads=2)
    assert "The machine was busy: 5.0" in "".join(provenance_lines(busy))
    unknown = with_provenance(RESULTS, load_before=None, load_after=None)
    assert "busy" not in "".join(provenance_lines(unknown))
    for floor, noisy in ((0.02, False), (0.3, True)):
        assert ("Noisy" in printed(with_facts(RESULTS, floor=floor))) == noisy
    for complete in (True, False):
        lines = provenance_lines(with_provenance(RESULTS, complete=complete))
        assert any(line.startswith("INTERRUPTED") for line in lines) != complete


def test_the_summary_takes_the_first_and_the_best_style_and_explains_a_slow_one(full):
    summary = summary_tables(full)[0]
    groups = full.groups()
    for workload, arm, ratio, _, why in summary.rows:
        group = groups["{}/{}/float32/stock".format(*workload.split())]
        port = arm.partition("[")[0]
        styles = [b for b in group if b.arm.port == port]
        best = min(styles, key=lambda b: b.facts.ratio)
        shown = {b.name: b.facts.ratio for b in (styles[0], best)}
        assert [row[1] for row in summary.rows if row[0] == workload and row[1].startswith(port)] == list(shown)
        assert float(ratio.partition(" ")[0]) == pytest.approx(shown[arm], rel=0.01)
        assert bool(why) == (shown[arm] > 1.10)


def test_the_screen_ends_with_each_frameworks_best_style(full):
    (closing,) = closing_tables(full)
    assert closing.columns == ("workload", "linen", "nnx", "equinox")
    for (workload, *cells), benchmarks in zip(closing.rows, full.groups().values(), strict=True):
        assert workload == short_group(benchmarks[0].arm)
        for port, cell in zip(closing.columns[1:], cells, strict=True):
            best = min((b.facts for b in benchmarks if b.arm.port == port), key=lambda facts: facts.ratio)
            assert float(re.search(r"[0-9.]+", cell)[0]) == pytest.approx(best.ratio, rel=0.01)
            assert cell.startswith("(") == (best.verdict == "indistinguishable")
    (closing,) = closing_tables(replaced(full, lambda b: b if b.arm.port != "nnx" else None))
    assert {row[2] for row in closing.rows} == {"-"}
    (closing,) = closing_tables(replaced(full, lambda b: with_facts(b, differs="late") if b.arm.port == "nnx" else b))
    assert all(row[2].endswith("*") and not row[1].endswith("*") for row in closing.rows)


def test_a_run_of_plain_jax_alone_or_of_a_calibration_has_no_such_end():
    for change in ({"ports": ("pure",)}, {"trials": 1}):
        assert closing_tables(with_provenance(RESULTS, plan=msgspec.structs.replace(PLAN, **change))) == []
    assert closing_tables(replaced(RESULTS, lambda _: None)) == []


def test_columns_hold_what_their_headings_say():
    times, programs = timing_tables(RESULTS)
    for row, other, b in zip(times.rows, programs.rows, RESULTS.benchmarks, strict=True):
        found = dict(zip(times.columns, row, strict=True))
        time_s = float(np.median(b.time_s))
        assert found["arm"] == b.name
        assert found["blocked"] == format_time(time_s)
        assert found["pipelined"] == format_time(b.facts.pipelined_s[0])
        assert found["steps/s"] == format_rate(8 / time_s)
        # of a megabyte at the 40 GB/s of memory, which take longer than a megaflop at 100 GFLOP/s
        assert float(found["GFLOP/s, %"].partition(", ")[2].rstrip("%")) / 100 == pytest.approx(
            25e-6 / time_s, abs=6e-3
        )
        found = dict(zip(programs.columns, other, strict=True))
        assert found["compile"] == format_time(b.facts.build.compile_s)
        assert found["leaves"] == str(b.facts.leaves)
        assert found["dots"] == str(b.facts.program.dots)
        assert found["print"] == b.facts.program.fingerprint[:5]
    assert [row[-1] for row in times.rows][:2] == ["-", "A/A"]
    assert "%: of the machine's nearer limit, here its memory's." in times.notes
    assert programs.detail


def test_what_is_to_be_heeded_of_an_arm_is_noted():
    gpu = {"device": "A GPU", "backend": "gpu"}
    odd = make_benchmark(ARMS[2], [1.0] * 4, [0, 0, 1, 1], steady=[True, False], **gpu)
    pure = [make_benchmark(arm, [1.0] * 4, [0, 0, 1, 1]) for arm in ARMS[:2]]
    notes = timing_tables(make_results([*pure, odd]))[0].notes
    assert "linen[apply]: not steady at the end of the warm-up in 1 processes." in notes
    assert "linen[apply]: ran on A GPU (gpu), and pure[jit] did not." in notes
    assert not any(note.startswith("pure") for note in notes)


def test_arms_without_a_number_have_a_table_that_says_why():
    results = msgspec.structs.replace(RESULTS, untimed=[Untimed(make_arm("nnx[?]"), "not installed")])
    section = timing_tables(results)[-1]
    assert section.rows == [("tiny/forward/float32/stock/nnx[?]", "not installed")]


def test_tables_fit_100_columns(full):
    assert len(full.benchmarks) == 12 * 11 + 3 * 5
    text = printed(full)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for benchmark in full.benchmarks:
        assert f"\n{benchmark.name} " in text


def test_ratios_carry_their_intervals():
    text = printed(with_facts(RESULTS, ratio=1.25, ratio_low=1.234, ratio_high=1.5))
    assert "1.250 [1.234, 1.500]" in text
    assert "Noise floor ±" in text


def test_markdown_has_the_same_numbers_and_where_they_are_from():
    text = markdown("trigru", provenance_lines(RESULTS), timing_tables(RESULTS))
    *_, ratio, _ = timing_tables(RESULTS)[0].rows[2]
    assert f"| {ratio} |" in text
    assert RESULTS.trigru.machine.device in text
    assert f"jax {RESULTS.trigru.machine.versions['jax']}" in text

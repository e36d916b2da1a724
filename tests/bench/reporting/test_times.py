"""Tables of times: each cell holds what its heading says, and what must be heeded is pointed at."""

from pathlib import Path

import msgspec
import pytest
from support.cli import shown
from support.runs import PROGRAM, make_arm, make_benchmark, make_results, with_facts, with_machine, with_provenance
from trigru.bench.analysis.merge import load
from trigru.bench.commands.tables import tables_of
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown
from trigru.bench.reporting.times import timing_tables
from trigru.bench.results.arm import Untimed

ARMS = [make_arm(name) for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")]
RESULTS = make_results([make_benchmark(arm, [1e-4, 2e-4, 3e-4]) for arm in ARMS])


@pytest.fixture(scope="module")
def full():
    """The longest run that is published."""
    return load(Path(__file__).parents[3] / "docs" / "results" / "cpu.json.gz")


def test_a_busy_machine_an_interruption_and_a_noisy_group_are_pointed_at():
    for before, after, said in (
        (1.1, 3.0, "The machine was busy: 1.1 runnable processes on 2 threads in the minute before the run. "),
        (1.0, 3.1, "The machine was busy: 3.1 runnable processes on 2 threads at its end. "),
        (1.1, 3.1, "The machine was busy: 1.1 runnable processes on 2 threads in the minute before the run, 3.1 at "),
        (1.0, 3.0, None),
        (None, None, None),
    ):
        lines = provenance_lines(
            with_machine(with_provenance(RESULTS, load_before=before, load_after=after), threads=2)
        )
        assert [line[: len(said or "")] for line in lines if "busy" in line] == ([said] if said else [])
    for floor, noisy in ((0.02, False), (0.3, True)):
        assert ("Noisy" in shown(tables_of(with_facts(RESULTS, floor=floor)))) == noisy
    for complete in (True, False):
        lines = provenance_lines(with_provenance(RESULTS, complete=complete))
        assert any(line.startswith("INTERRUPTED") for line in lines) != complete


@pytest.mark.parametrize("clocks", [("blocked", "pipelined"), ("pipelined", "blocked")])
def test_times_stand_under_the_clock_that_they_are_of(clocks):
    leads, other = clocks
    times_s = {"clock": leads, "other_s": [5e-4] * 3, "other_process": [0] * 3}
    table = timing_tables(make_results([make_benchmark(arm, [1e-4, 2e-4, 3e-4], **times_s) for arm in ARMS]))[0]
    for row in table.rows:
        cells = dict(zip(map(str, table.columns), row, strict=True))
        assert (cells[leads], cells[other]) == ("200 µs", "500 µs")


def test_what_is_to_be_heeded_of_an_arm_is_noted():
    gpu = {"device": "A GPU", "backend": "gpu"}
    odd = make_benchmark(ARMS[2], [1.0] * 6, [0, 0, 1, 1, 2, 2], steady=[False, True, False], **gpu)
    pure = [make_benchmark(arm, [1.0] * 6, [0, 0, 1, 1, 2, 2]) for arm in ARMS[:2]]
    notes = timing_tables(make_results([*pure, odd]))[0].notes
    assert "linen[apply]: not steady at the end of the warm-up in 2 processes." in notes
    assert "linen[apply]: ran on A GPU (gpu), and pure[jit] did not." in notes
    assert "%: of the machine's nearer limit, here its memory's." in notes
    assert not any(note.startswith("pure") for note in notes)


def test_arms_without_a_number_have_a_table_that_says_why():
    results = msgspec.structs.replace(RESULTS, untimed=[Untimed(make_arm("nnx[?]"), "not installed")])
    section = timing_tables(results)[-1]
    assert section.rows == [("tiny/forward/float32/stock/nnx[?]", "not installed")]


def test_tables_fit_100_columns(full):
    # four workloads in every call style, of forward, train step and step; large as documented and functional
    assert len(full.benchmarks) == 4 * (14 + 19 + 14) + (7 + 8 + 7)
    text = shown(tables_of(full))
    for benchmark in full.benchmarks:
        assert f"\n{benchmark.name} " in text


def test_markdown_has_the_same_numbers_and_where_they_are_from():
    text = markdown("trigru", provenance_lines(RESULTS), timing_tables(RESULTS))
    *_, ratio, _ = timing_tables(RESULTS)[0].rows[2]
    assert f"| {ratio} |" in text
    assert RESULTS.trigru.machine.device in text
    assert f"jax {RESULTS.trigru.machine.versions['jax']}" in text
    assert {row[-1] for row in timing_tables(RESULTS)[1].rows} == {PROGRAM.fingerprint[:5]}

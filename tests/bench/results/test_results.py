"""The results file, and the tables that are made of it."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from trigru.bench.arms.plan import Plan
from trigru.bench.arms.workloads import get_workload
from trigru.bench.commands.bench import tables_of
from trigru.bench.reporting.equality import equality_table
from trigru.bench.reporting.sections import format_rate, format_time, markdown, provenance_lines, terminal
from trigru.bench.reporting.times import closing_tables, short_group, summary_tables, timing_tables
from trigru.bench.results.record import (
    SCHEMA,
    ExtraInfo,
    Provenance,
    ResultsFileError,
    assemble,
    command_line,
    load,
    save,
)
from trigru.bench.timing import worker
from trigru.bench.timing.sampling import CompiledWhileTimingError
from trigru.common.equality.verification import Measurement
from trigru.common.errors import TrigruError

PLAN = Plan(("tiny",), ("forward",), ("pure", "linen"), processes=2, rounds=6, sample_time_s=1e-4)
LONGEST = Path(__file__).parents[3] / "docs" / "results" / "cpu.json"


@pytest.fixture(scope="module")
def results(measure):
    """A real, small run, whose two processes are this one, twice."""
    return measure(PLAN)


@pytest.fixture
def path(results, tmp_path):
    """Its file."""
    save(results, tmp_path / "results.json")
    return tmp_path / "results.json"


def test_what_is_saved_is_loaded(results, path):
    assert load(path) == results


def test_samples_are_kept_and_summarised(results):
    assert [b.name for b in results.benchmarks] == ["pure[jit]", "pure[jit]#2", "linen[apply]"]
    for benchmark in results.benchmarks:
        assert len(benchmark.time_s) == 12
        assert benchmark.stats["min"] == min(benchmark.time_s)
        assert benchmark.stats["rounds"] == 12
        assert benchmark.stats["iterations"] == benchmark.facts.calls[0]
        assert 0 < benchmark.facts.gate <= 1
        assert benchmark.facts.program.dots >= 2
        assert benchmark.facts.process == 6 * [0] + 6 * [1]
    assert results.benchmarks[0].facts.ratio == 1


def test_pytest_benchmark_reads_it(path):
    found = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "linen[apply]" in found.stdout
    assert "tiny/forward/float32/stock" in found.stdout


@pytest.mark.parametrize(
    ("commit", "id", "dirty"), [("abc", "abc", False), ("abc-dirty", "abc", True), ("", "unversioned", False)]
)
def test_the_commit_is_trigrus_own_wherever_one_works(results, tmp_path, monkeypatch, commit, id, dirty):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    machine = msgspec.structs.replace(results.trigru.machine, commit=commit)
    found = assemble(results.benchmarks, [], msgspec.structs.replace(results.trigru, machine=machine)).commit_info
    assert (found["id"], found["dirty"], found["project"]) == (id, dirty, "trigru")
    assert found.keys() == {"id", "time", "author_time", "dirty", "project", "branch"}, "pytest-benchmark's"


def test_machines_find_the_facts_where_documented(path):
    data = json.loads(path.read_text())
    assert data["benchmarks"][2]["extra_info"]["trigru"]["id"] == "tiny/forward/float32/stock/linen[apply]"
    assert {"jax", "flax", "equinox", "optax", "python"} <= set(data["trigru"]["machine"]["versions"])


PROVENANCE = [field.name for field in msgspec.structs.fields(Provenance)]


@pytest.mark.parametrize("fact", PROVENANCE)
def test_a_file_that_lacks_a_fact_does_not_load(path, fact):
    data = json.loads(path.read_text())
    del data["trigru"][fact]
    path.write_text(json.dumps(data))
    with pytest.raises(ResultsFileError, match=f"missing required field `{fact}`"):
        load(path)


@pytest.mark.parametrize("fact", Plan.__struct_fields__)
def test_a_plan_that_lacks_a_fact_does_not_load_though_it_has_a_default(path, fact):
    data = json.loads(path.read_text())
    del data["trigru"]["plan"][fact]
    path.write_text(json.dumps(data))
    with pytest.raises(ResultsFileError, match=f"missing required field `{fact}`|the plan lacks {fact}"):
        load(path)


def set_in(data, keys, value):
    for key in keys[:-1]:
        data = data[key]
    data[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("trigru", "schema"), 99, f"schema 99, expected {SCHEMA}. Measure again"),
        (("trigru",), {"schema": 1, "gpu": "H100"}, f"schema 1, expected {SCHEMA}. Measure again"),
        (("benchmarks", 0, "extra_info", "trigru", "is_baseline"), False, "has no baseline, or several"),
        (("benchmarks", 1, "extra_info", "trigru", "is_baseline"), True, "has no baseline, or several"),
        (("benchmarks", 0, "group"), "x", "is not the id of"),
        (("benchmarks", 0, "extra_info", "trigru", "ratio"), -3.0, "that no measurement gives"),
        (("benchmarks", 0, "stats", "data"), [1.0], "unequal numbers of rounds"),
        (("benchmarks", 0, "stats", "data"), [True], "no positive finite samples"),
        (("benchmarks", 0, "stats", "data"), [], "no positive finite samples"),
        (("benchmarks", 0, "stats", "data"), [1.0, -1.0], "no positive finite samples"),
        (("benchmarks", 0, "stats", "data"), "x", "no positive finite samples"),
        (("benchmarks", 0, "extra_info", "trigru", "ratio"), None, "Expected `float`, got `null`"),
        (("benchmarks", 0, "extra_info", "trigru", "new"), 1, "unknown field `new`"),
        (("benchmarks",), {}, "Expected `array`, got `object`"),
    ],
)
def test_a_file_with_other_contents_is_refused(path, keys, value, message):
    data = json.loads(path.read_text())
    set_in(data, keys, value)
    path.write_text(json.dumps(data))
    with pytest.raises(ResultsFileError, match=message):
        load(path)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_truncated_and_flipped_files_are_refused_or_read(results, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "results.json"
    save(results, path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 2))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        printed(load(path))
    except ResultsFileError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_deep_nesting_is_refused(path):
    path.write_text(path.read_text().replace('"machine_info":{', '"machine_info":{"x":' + "[" * 200_000 + ",", 1))
    with pytest.raises(ResultsFileError, match="not a results file of trigru"):
        load(path)


def test_whole_numbers_of_seconds_are_samples(path):
    data = json.loads(path.read_text())
    for benchmark in data["benchmarks"]:
        benchmark["stats"]["data"] = [1, 2, 3]
        benchmark["extra_info"]["trigru"]["process"] = [0, 0, 0]
    path.write_text(json.dumps(data))
    assert load(path).benchmarks[0].time_s.tolist() == [1, 2, 3]


def test_a_system_without_a_load_average_can_read_its_own_file(results, path):
    facts = msgspec.structs.replace(results.trigru, load_before=None, load_after=None)
    save(msgspec.structs.replace(results, trigru=facts), path)
    assert load(path).trigru.load_before is None
    assert "busy" not in "".join(provenance_lines(load(path)))


@pytest.mark.parametrize(
    "output", [(), ("-o", "mine"), ("-omine",), ("-o=mine",), ("--output", "mine"), ("--output=mine",), ("-o", "-x")]
)
def test_a_command_is_kept_without_where_the_results_went(monkeypatch, output):
    monkeypatch.setattr(sys, "argv", ["/home/me/bin/trigru", "bench", *output, "--quick", "--seed", "3"])
    assert command_line() == ["trigru", "bench", "--quick", "--seed", "3"]


def test_a_busy_machine_and_a_noisy_group_are_pointed_at(results):
    machine = msgspec.structs.replace(results.trigru.machine, threads=2)
    busy = msgspec.structs.replace(results.trigru, load_before=5.0, machine=machine)
    assert "The machine was busy: 5.0" in "".join(provenance_lines(msgspec.structs.replace(results, trigru=busy)))
    for floor, noisy in ((0.02, False), (0.3, True)):
        benchmarks = [altered(b, floor=floor) for b in results.benchmarks]
        assert ("Noisy" in printed(msgspec.structs.replace(results, benchmarks=benchmarks))) == noisy


def altered(benchmark, **facts):
    """A benchmark with other facts."""
    changed = msgspec.structs.replace(benchmark.facts, **facts)
    return msgspec.structs.replace(benchmark, extra_info=ExtraInfo(changed))


def test_the_summary_takes_the_first_and_the_best_style_and_explains_a_slow_one():
    full = load(LONGEST)
    summary = summary_tables(full)[0]
    groups = full.groups()
    for workload, arm, ratio, _, why in summary.rows:
        group = groups["{}/{}/float32/stock".format(*workload.split())]
        port = arm.partition("[")[0]
        styles = [b for b in group if b.facts.port == port]
        shown = {styles[0].name: styles[0].facts.ratio}
        best = min(styles, key=lambda b: b.facts.ratio)
        shown[best.name] = best.facts.ratio
        assert [row[1] for row in summary.rows if row[0] == workload and row[1].startswith(port)] == list(shown)
        assert float(ratio.partition(" ")[0]) == pytest.approx(shown[arm], rel=0.01)
        assert bool(why) == (shown[arm] > 1.10)


def test_the_screen_ends_with_each_frameworks_best_style():
    full = load(LONGEST)
    (closing,) = closing_tables(full)
    assert closing.columns == ("workload", "linen", "nnx", "equinox")
    for (workload, *cells), (group, benchmarks) in zip(closing.rows, full.groups().items(), strict=True):
        assert workload == short_group(group)
        for port, cell in zip(closing.columns[1:], cells, strict=True):
            best = min((b.facts for b in benchmarks if b.facts.port == port), key=lambda facts: facts.ratio)
            assert float(re.search(r"[0-9.]+", cell)[0]) == pytest.approx(best.ratio, rel=0.01)
            assert cell.startswith("(") == (best.verdict == "indistinguishable")
    without = [b for b in full.benchmarks if b.facts.port != "nnx"]
    (closing,) = closing_tables(msgspec.structs.replace(full, benchmarks=without))
    assert {row[2] for row in closing.rows} == {"-"}
    other = [altered(b, differs="resets late") if b.facts.port == "nnx" else b for b in full.benchmarks]
    (closing,) = closing_tables(msgspec.structs.replace(full, benchmarks=other))
    assert all(row[2].endswith("*") and not row[1].endswith("*") for row in closing.rows)


def test_a_run_of_plain_jax_alone_or_of_a_calibration_has_no_such_end(results):
    plan = results.trigru.plan
    for other in (msgspec.structs.replace(plan, ports=("pure",)), msgspec.structs.replace(plan, trials=1)):
        facts = msgspec.structs.replace(results.trigru, plan=other)
        assert closing_tables(msgspec.structs.replace(results, trigru=facts)) == []
    assert closing_tables(msgspec.structs.replace(results, benchmarks=[])) == []


def measurement(check="sequence", error=1e-16, bound=1e-12, dtype="float64", quantity="outputs"):
    return Measurement("pure", check, None, quantity, dtype, error, bound)


def test_a_cell_of_the_equality_table_shows_the_worst():
    section = equality_table(
        [measurement(), measurement(error=3e-15), measurement(error=2e-7, bound=1e-6, dtype="float32")]
    )
    assert section.rows == [("sequence", "3e-15 · 20%")]


def test_one_failure_fails_the_cell_and_is_named_once():
    section = equality_table([measurement(), measurement(error=1e-3), measurement(error=1e-2, quantity="carry")])
    assert section.rows == [("sequence", "FAILED")]
    failures = [note for note in section.notes if note.startswith("FAILED")]
    assert failures == [
        "FAILED pure: sequence: outputs in float64: error 1.0e-03, at most 1.0e-12 allowed (and 1 more)"
    ]


def test_columns_hold_what_their_headings_say(results):
    times, programs = timing_tables(results)
    for row, other, b in zip(times.rows, programs.rows, results.benchmarks, strict=True):
        found = dict(zip(times.columns, row, strict=True))
        assert found["arm"] == b.name
        assert found["blocked"] == format_time(float(np.median(b.time_s)))
        assert found["pipelined"] == format_time(float(np.median(b.facts.pipelined_s)))
        found = dict(zip(programs.columns, other, strict=True))
        assert found["compile"] == format_time(b.facts.build.compile_s)
        assert found["leaves"] == str(b.facts.leaves)
        assert found["dots"] == str(b.facts.program.dots)
        assert found["print"] == b.facts.program.fingerprint[:5]
    assert [row[-1] for row in times.rows][:2] == ["-", "A/A"]
    assert programs.detail


def test_the_share_is_of_the_nearer_limit(results):
    section = timing_tables(results)[0]
    ceilings = results.trigru.best_ceilings("float32")
    limit, least_s = ceilings.nearer(results.benchmarks[0].facts.work)
    shares = [float(row[4].partition(", ")[2].rstrip("%")) / 100 for row in section.rows]
    expected = [least_s / np.median(b.time_s) for b in results.benchmarks]
    np.testing.assert_allclose(shares, expected, atol=6e-3)
    assert any(note.startswith("%: of the machine's nearer limit") for note in section.notes)
    assert limit in ("gemm", "copy")


def test_a_group_says_how_many_steps_a_second(results):
    section = timing_tables(results)[0]
    for row, benchmark in zip(section.rows, results.benchmarks, strict=True):
        assert row[3] == format_rate(8 / float(np.median(benchmark.time_s)))


def test_the_vowels_steps_leave_out_the_padding():
    vowels = get_workload("vowels")
    assert vowels.steps == vowels.batch().lengths.sum() < 32 * 29
    assert get_workload("medium").steps == 32 * 128


def test_products_are_not_tf32_while_timing(monkeypatch, measure):
    seen = []

    def prepare(arm):
        seen.append(jax.config.jax_default_matmul_precision)
        raise TrigruError("seen enough")

    monkeypatch.setattr(worker, "prepare", prepare)
    measure(PLAN)
    assert set(seen) == {"highest"}
    assert load(LONGEST).trigru.matmul_precision == "highest"


def test_an_arm_that_cannot_be_timed_says_why_and_the_others_go_on(monkeypatch, measure):
    real = worker.sample_rounds

    def sample_rounds(arms, *rest, **options):
        found = real(arms, *rest, **options)
        return [*found[:2], *(CompiledWhileTimingError("XLA compiled while the clock ran.") for _ in found[2:])]

    monkeypatch.setattr(worker, "sample_rounds", sample_rounds)
    found = measure(PLAN)
    assert [b.name for b in found.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert [(u.name, u.reason) for u in found.untimed] == [("linen[apply]", "XLA compiled while the clock ran.")]


def test_rounds_are_whole_squares_where_time_is_short(monkeypatch, measure):
    monkeypatch.setattr(worker, "GROUP_TIME_S", 0.05)
    monkeypatch.setattr(worker, "MIN_ROUNDS", 4)
    found = measure(msgspec.structs.replace(PLAN, rounds=1000, sample_time_s=1e-3, processes=1))
    assert len(found.benchmarks[0].time_s) % 3 == 0
    assert len(found.benchmarks[0].time_s) < 1000


@pytest.mark.parametrize(("processes", "few"), [(1, 9), (2, 3)])
def test_a_group_gets_as_many_rounds_as_fit_its_time(monkeypatch, measure, processes, few):
    monkeypatch.setattr(worker, "ROUNDS", 3 if processes == 2 else 4.5)
    monkeypatch.setattr(worker, "MOST_ROUNDS", 12)
    for time_s, rounds in ((0.0, few), (60.0, 12)):
        monkeypatch.setattr(worker, "SHORT_GROUP_TIME_S", time_s)
        found = measure(msgspec.structs.replace(PLAN, rounds=None, processes=processes, phases=("step",)))
        assert found.benchmarks[0].facts.process.count(0) == rounds


def test_few_rounds_are_shared_by_the_processes(monkeypatch, measure):
    monkeypatch.setattr(worker, "GROUP_TIME_S", 0.0)
    monkeypatch.setattr(worker, "MIN_ROUNDS", 5)
    found = measure(msgspec.structs.replace(PLAN, rounds=1000, processes=2))
    assert found.benchmarks[0].facts.process == [0, 0, 0, 1, 1, 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsFileError, match=r"absent.json: No such file"):
        load(tmp_path / "absent.json")


def test_a_folder_stands_for_the_file_in_it(results, path, tmp_path):
    assert load(path.parent) == results
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsFileError, match=r"empty.results.json: No such file"):
        load(tmp_path / "empty")


def test_a_failed_save_keeps_the_old_file(results, path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(results, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def printed(results, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal(tables_of(results)))
    return console.file.getvalue()


def test_tables_fit_100_columns():
    full = load(LONGEST)
    assert len(full.benchmarks) == 12 * 11 + 3 * 5
    text = printed(full)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for benchmark in full.benchmarks:
        assert f"\n{benchmark.name} " in text


def test_ratios_carry_their_intervals(results):
    close = [altered(b, ratio=1.25, ratio_low=1.234, ratio_high=1.5) for b in results.benchmarks]
    text = printed(msgspec.structs.replace(results, benchmarks=close))
    assert "1.250 [1.234, 1.500]" in text
    assert "Noise floor ±" in text


def test_markdown_has_the_same_numbers_and_where_they_are_from(results):
    text = markdown("trigru", timing_tables(results), results)
    *_, ratio, _ = timing_tables(results)[0].rows[2]
    assert f"| {ratio} |" in text
    assert results.trigru.machine.device in text
    assert f"jax {results.trigru.machine.versions['jax']}" in text


def test_an_interrupted_run_says_so(results):
    facts = msgspec.structs.replace(results.trigru, complete=False)
    partial = msgspec.structs.replace(results, trigru=facts)
    assert "INTERRUPTED" in markdown("trigru", [], partial)
    assert "INTERRUPTED" not in markdown("trigru", [], results)


def test_an_arm_that_fails_loses_its_own_cell_and_says_why(monkeypatch, measure):
    real = worker.prepare

    def prepare(arm):
        if arm.port == "linen":
            raise MemoryError("out of memory")
        return real(arm)

    monkeypatch.setattr(worker, "prepare", prepare)
    found = measure(PLAN)
    assert [b.name for b in found.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert [(u.name, u.reason) for u in found.untimed] == [("linen[apply]", "MemoryError: out of memory")]


def test_an_arm_that_fails_while_warming_up_loses_its_own_cell(monkeypatch, measure):
    real = worker.warm_up

    def warm_up(ready, *rest):
        if ready.arm.port == "linen":
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return real(ready, *rest)

    monkeypatch.setattr(worker, "warm_up", warm_up)
    found = measure(PLAN)
    assert [b.name for b in found.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert found.untimed[0].reason == "RuntimeError: RESOURCE_EXHAUSTED: out of memory"


def test_an_excluded_port_gets_no_number(measure):
    found = measure(msgspec.structs.replace(PLAN, excluded={"linen": "not proven equal: chunks"}))
    assert [b.name for b in found.benchmarks] == ["pure[jit]", "pure[jit]#2"]
    assert found.untimed[0].reason == "not proven equal: chunks"


def test_without_a_baseline_there_is_no_number(monkeypatch, measure):
    real = worker.prepare

    def prepare(arm):
        if arm.copy == 2:
            raise TrigruError("no duplicate")
        return real(arm)

    monkeypatch.setattr(worker, "prepare", prepare)
    found = measure(PLAN)
    assert found.benchmarks == []
    assert {u.name for u in found.untimed} == {"pure[jit]", "pure[jit]#2", "linen[apply]"}
    assert any("nothing to compare with" in u.reason for u in found.untimed)

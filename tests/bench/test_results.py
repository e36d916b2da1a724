"""The results file, and the tables that are made of it."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from trigru.bench import run as run_module
from trigru.bench.report import markdown, terminal, timing_tables
from trigru.bench.results import ResultsFileError, assemble, load, provenance, save
from trigru.bench.run import Plan, run
from trigru.common.errors import TrigruError

PLAN = Plan(("tiny",), ("forward",), ("pure", "linen"), rounds=4, sample_time_s=1e-4)
LONGEST = Path(__file__).parents[2] / "docs" / "results" / "cpu.json"


@pytest.fixture(scope="module")
def results():
    """A real, small run."""
    benchmarks, untimed = [], []
    for found, without in run(PLAN, lambda what, share: None):
        benchmarks += found
        untimed += without
    return assemble(benchmarks, untimed, provenance(0, "highest", 0.0, complete=True))


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
        assert len(benchmark.time_s) == 4
        assert benchmark.stats["min"] == min(benchmark.time_s)
        assert benchmark.stats["rounds"] == 4
        assert benchmark.stats["iterations"] == benchmark.facts.calls
        assert 0 < benchmark.facts.gate <= 1
        assert benchmark.facts.dots >= 2
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


def test_machines_find_the_facts_where_documented(path):
    data = json.loads(path.read_text())
    assert data["benchmarks"][2]["extra_info"]["trigru"]["id"] == "tiny/forward/float32/stock/linen[apply]"
    assert {"jax", "flax", "equinox", "optax", "python"} <= set(data["trigru"]["versions"])


PROVENANCE = [field.name for field in msgspec.structs.fields(type(provenance(0, "highest", 0.0, complete=True)))]


@pytest.mark.parametrize("fact", PROVENANCE)
def test_a_file_that_lacks_a_fact_does_not_load(path, fact):
    data = json.loads(path.read_text())
    del data["trigru"][fact]
    path.write_text(json.dumps(data))
    with pytest.raises(ResultsFileError, match=f"missing required field `{fact}`"):
        load(path)


def set_in(data, keys, value):
    for key in keys[:-1]:
        data = data[key]
    data[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("trigru", "schema"), 99, "schema 99, expected 1. Measure again"),
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
        load(path)
    except ResultsFileError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResultsFileError, match=r"absent.json: No such file"):
        load(tmp_path / "absent.json")


def test_a_failed_save_keeps_the_old_file(results, path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(results, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def printed(results, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal(timing_tables(results)))
    return console.file.getvalue()


def test_tables_fit_100_columns():
    full = load(LONGEST)
    assert len(full.benchmarks) == 110
    text = printed(full)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for benchmark in full.benchmarks:
        assert f"\n{benchmark.name} " in text


def test_ratios_carry_their_intervals(results):
    text = printed(results)
    linen = results.benchmarks[2].facts
    assert f"{linen.ratio:.3f} [{linen.ratio_low:.3f}, {linen.ratio_high:.3f}]" in text
    assert "noise floor ±" in text


def test_markdown_has_the_same_numbers_and_where_they_are_from(results):
    text = markdown("trigru", timing_tables(results), results)
    facts = results.benchmarks[2].facts
    assert f"{facts.ratio:.3f} [{facts.ratio_low:.3f}, {facts.ratio_high:.3f}]" in text
    assert results.trigru.device in text
    assert f"jax {results.trigru.versions['jax']}" in text


def test_an_interrupted_run_says_so(results):
    partial = msgspec.structs.replace(results, trigru=provenance(0, "highest", 0.0, complete=False))
    assert "Interrupted" in markdown("trigru", [], partial)


def without_numbers(plan):
    return next(run(plan, lambda what, share: None))


def test_an_arm_that_fails_loses_its_own_cell_and_says_why(monkeypatch):
    real = run_module.prepare

    def prepare(arm):
        if arm.port == "linen":
            raise MemoryError("out of memory")
        return real(arm)

    monkeypatch.setattr(run_module, "prepare", prepare)
    found, untimed = without_numbers(PLAN)
    assert [b.name for b in found] == ["pure[jit]", "pure[jit]#2"]
    assert [(u.name, u.reason) for u in untimed] == [("linen[apply]", "MemoryError: out of memory")]


def test_an_excluded_port_gets_no_number():
    found, untimed = without_numbers(replace(PLAN, excluded=(("linen", "not proven equal: chunks"),)))
    assert [b.name for b in found] == ["pure[jit]", "pure[jit]#2"]
    assert untimed[0].reason == "not proven equal: chunks"


def test_without_a_baseline_there_is_no_number(monkeypatch):
    real = run_module.prepare

    def prepare(arm):
        if arm.copy == 2:
            raise TrigruError("no duplicate")
        return real(arm)

    monkeypatch.setattr(run_module, "prepare", prepare)
    found, untimed = without_numbers(PLAN)
    assert found == []
    assert {u.name for u in untimed} == {"pure[jit]", "pure[jit]#2", "linen[apply]"}
    assert any("nothing to compare with" in u.reason for u in untimed)

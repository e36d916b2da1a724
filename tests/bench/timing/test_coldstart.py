"""What is clocked between Python's start and the first train step, and in which order ports are started."""

import time
from unittest.mock import Mock

import jax
import pytest
from support.cli import run_code, shown
from support.golden import check_golden
from support.runs import MACHINE
from trigru.bench.analysis.starts import SCHEMA, ColdStarts
from trigru.bench.processes.child import ChildDiedError
from trigru.bench.reporting.times import cold_start_tables
from trigru.bench.timing import coldstart
from trigru.bench.timing.coldstart import (
    ColdStart,
    answer_request,
    measure_cold_start,
    measure_cold_starts,
)
from trigru.common.port.programs import Build
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import functional_program
from trigru.impls import pure


def a_start(port="pure", import_s=1.0, peak_bytes=2**28, on_device=None):
    return ColdStart(
        port,
        "jit",
        import_s,
        0.5,
        Build(0.1, 0.05, 0.25, 0.5),
        0.002,
        peak_bytes,
        on_device,
    )


def test_every_pass_begins_with_another_port_and_the_warm_up_is_not_recorded(
    monkeypatch,
):
    started, said = [], []

    def measure(port):
        started.append(port)
        return a_start(port, import_s=float(len(started)))

    monkeypatch.setattr(coldstart, "measure_cold_start", measure)
    found = measure_cold_starts(["a", "b", "c"], 4, lambda *of: said.append(of))
    assert "".join(started) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert [(cold.port, cold.import_s) for cold in found] == [
        (started[n], n + 1.0) for n in range(3, 15)
    ]
    assert said[:2] == [("start a (warm-up)", 0.0), ("start b (warm-up)", 1 / 15)]
    assert said[-1] == ("start c (4 of 4)", 1 / 15)
    assert measure_cold_starts([], 2, lambda *of: None) == []


def test_the_table():
    """Medians and the range of the total; memory that nobody knows, of an accelerator, and columns of their widest."""
    wide = Build(0.1234, 0.1234, 0.1234, 12.345)
    starts = [
        a_start(import_s=import_s, on_device=n * 2**20)
        for n, import_s in ((7, 1.0), (0, 4.0), (6, 2.0))
    ]
    starts += [a_start("linen", peak_bytes=None)]
    starts += [
        ColdStart("equinox", "filter_jit", s, 12.345, wide, 0.1, 1100 * 2**20)
        for s in (12.345, 98.765)
    ]
    found = ColdStarts(
        SCHEMA, [], "2026-11-24T01:02:03+00:00", MACHINE, 0.24, None, starts
    )
    check_golden("cold-start", shown(cold_start_tables(found)))


@pytest.mark.parametrize(
    ("port", "frameworks"), [("linen", ["flax"]), ("equinox", ["equinox"])]
)
def test_a_start_clocks_the_import_of_jax_and_of_its_framework_alone(
    port, frameworks, tmp_path, monkeypatch
):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    code = f"""
import sys, time
from trigru.bench.timing.coldstart import answer_request

class Watch:
    seen_s = {{}}

    def find_spec(self, name, *_):
        self.seen_s.setdefault(name, time.perf_counter())

sys.meta_path.insert(0, Watch())
since_s = time.perf_counter()
answers = []
answer_request({port!r}, answers.append, since_s)
(found,) = answers
for name in ("jax", *{frameworks}):
    assert since_s < Watch.seen_s[name] < since_s + found.import_s, name
print(sorted({{"equinox", "flax", "torch", "trigru.common.equality.oracle"}} & set(sys.modules)))
"""
    assert run_code(code) == f"{frameworks}\n"
    assert not list(tmp_path.iterdir()), "programs were kept for the next process"


def test_import_init_and_second_step_are_told_apart_and_the_step_is_waited_for(
    monkeypatch,
):
    real, uses_cache = pure.PurePort.make, []

    def make(*of):
        uses_cache.append(jax.config.jax_enable_compilation_cache)
        time.sleep(0.3)
        return real(*of)

    monkeypatch.setattr(pure.PurePort, "make", make)

    def build(*of):
        program = functional_program(*of)
        program.wait = lambda outputs: time.sleep(0.4) or outputs
        return program

    monkeypatch.setattr(pure.PurePort, "call_styles", (CallStyle("jit", "", build),))
    answers = []
    answer_request("pure", answers.append, time.perf_counter() - 100.0)
    jax.config.update("jax_enable_compilation_cache", True)
    (found,) = answers
    assert uses_cache == [False], "what an earlier process compiled is not taken"
    assert found.import_s > 100.0
    assert 0.3 < found.init_s < 90.0
    assert found.second_call_s > 0.4


def test_a_start_of_plain_jax_is_measured(monkeypatch):
    found = measure_cold_start("pure")
    build = found.build
    assert (found.port, found.style) == ("pure", "jit")
    assert (
        min(
            found.import_s,
            found.init_s,
            build.trace_s,
            build.lower_s,
            build.compile_s,
            found.second_call_s,
        )
        > 0
    )
    assert build.first_call_s >= build.trace_s + build.lower_s + build.compile_s
    assert found.second_call_s < build.first_call_s / 10
    assert found.total_s == found.import_s + found.init_s + build.first_call_s
    assert 50e6 < found.peak_bytes < 50e9
    assert found.device_peak_bytes is None, "on a CPU"
    with pytest.raises(
        ChildDiedError,
        match="^the cold start of 'jaxx' failed: .*: unknown port 'jaxx'. Known: p",
    ):
        measure_cold_start("jaxx")
    monkeypatch.setattr("trigru.bench.processes.child.answers_of", lambda *_: iter(()))
    with pytest.raises(
        ChildDiedError,
        match="^the cold start of 'pure' failed: it ended without an answer",
    ):
        measure_cold_start("pure")


def test_memory_is_the_peak_of_the_process_and_not_of_its_parent(monkeypatch):
    code = """
import subprocess, sys
ballast = bytearray(500_000_000)
ask = "bytearray(100_000_000); from trigru.bench.timing.coldstart import _peak_bytes; print(_peak_bytes())"
print(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout)
"""
    assert 100e6 < int(run_code(code)) < 250e6
    monkeypatch.setattr("builtins.open", Mock(side_effect=FileNotFoundError))
    assert 50e6 < coldstart._peak_bytes() < 50e9, "where there is no /proc"

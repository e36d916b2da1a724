"""What other numbers of processes and rounds would see, from samples whose spread is known."""

import numpy as np
import pytest
from support.known import tables_on_screen
from support.runs import make_arm, make_benchmark, make_results
from trigru.bench.analysis import simulation as of_samples
from trigru.bench.analysis import statistics
from trigru.bench.analysis.simulation import samples, simulate, spread_of, time_of
from trigru.bench.analysis.statistics import effect_of
from trigru.bench.commands import simulation

PROCESSES, ROUNDS, COPIES, TRIALS = 6, 24, 6, 8


@pytest.fixture(scope="module")
def calibration():
    """Of identical arms, whose log-times differ by 2 % between processes and by 4 % between rounds."""
    rng = np.random.default_rng(5)
    process = np.repeat(range(PROCESSES), ROUNDS)
    benchmarks = []
    for trial in range(1, TRIALS + 1):
        round_s = rng.lognormal(0, 0.5, len(process))  # what all arms of a round have in common does not matter
        names = ["pure[jit]", *(f"pure[jit]#{copy}" for copy in range(2, COPIES + 1)), "pure[jit]+50%"]
        for name in names:
            of_process = rng.normal(0, 0.02, PROCESSES)[process]
            log_s = of_process + rng.normal(0, 0.04, len(process)) + (0.4 if "+" in name else 0)
            benchmarks.append(make_benchmark(make_arm(name, trial=trial), np.exp(log_s) * round_s, process))
    return make_results(benchmarks)


def test_the_spread_of_processes_and_of_rounds_is_told_apart(calibration):
    (of_workload,) = samples(calibration).values()
    assert [found.shape for found in of_workload] == [(COPIES, ROUNDS)] * (TRIALS * PROCESSES)
    spread = spread_of(of_workload)
    assert spread.processes == pytest.approx(0.02 * 2**0.5, rel=0.2)
    assert spread.rounds == pytest.approx(0.04 * 2**0.5, rel=0.2)


def test_more_processes_see_more_and_rarely_call_what_is_identical_different(calibration):
    few, many = (simulate(calibration, processes, 20, (0.04, 0.5), 60) for processes in (3, 20))
    assert (few.processes, few.rounds, many.processes) == (3, 20, 20)
    assert few.found[0.04] < 0.5 < 0.9 < many.found[0.04]
    assert few.found[0.5] == many.found[0.5] == 1
    assert max(few.wrong, many.wrong) <= 0.12
    statistics._bootstrap.cache_clear()
    assert simulate(calibration, 3, 20, (0.04, 0.5), 60) == few


def test_more_rounds_help_only_where_rounds_are_what_differs(calibration):
    found = [simulate(calibration, 8, rounds, (0.03,), 60).found[0.03] for rounds in (4, 100)]
    assert found[0] < found[1] < 0.9


def test_baseline_arm_and_duplicate_are_three_arms(calibration, monkeypatch):
    seen = []

    def notes(log_ratio, process, **options):
        seen.append(log_ratio.reshape(4, -1))
        return effect_of(log_ratio, process, **options)

    monkeypatch.setattr(of_samples, "effect_of", notes)
    simulate(calibration, 4, 5, (), 60)
    assert len(seen) == 2 * 60
    for arm, duplicate in zip(seen[::2], seen[1::2], strict=True):
        for other in (arm, duplicate, arm - duplicate):
            assert np.all(np.any(other, axis=1)), "an arm is compared with itself"


def test_the_time_of_another_choice_is_that_of_its_processes_and_rounds():
    began_s, round_s, rounds = (0, 300, 600, 700, 800), {"tiny": 0.5, "question": 2.0}, {"tiny": 40, "question": 10}
    benchmarks = []
    for workload, offset_s in (("tiny", 0), ("question", 50)):
        process = np.repeat(range(5), rounds[workload])
        number = np.tile(range(rounds[workload]), 5)
        started_s = (np.array(began_s)[process] + offset_s + number * round_s[workload]).tolist()
        for name in ("pure[jit]", "pure[jit]#2"):
            arm = make_arm(name, workload, trial=1)
            benchmarks.append(make_benchmark(arm, np.ones(len(process)), process, started_s=started_s))
    # a quarter of the rounds is done again, pipelined: 40 * 0.5 + 10 * 2 = 40 become 50 s of a process
    found = make_results(benchmarks)
    assert time_of(found, 2, 20) == pytest.approx(2 * (300 - 50) + 2 * 20 * 2.5 * 1.25)
    assert time_of(found, 7, 20) == pytest.approx(2 * (300 - 50) + 5 * (100 - 50) + 7 * 20 * 2.5 * 1.25)


def test_what_is_printed_stands_under_its_heading(calibration, tmp_path, monkeypatch, capsys):
    for name, value in {"PROCESSES": (3,), "ROUNDS": (10, 20), "DIFFERENCES": (0.04, 0.5), "TRIALS": 20}.items():
        monkeypatch.setattr(simulation, name, value)
    monkeypatch.setattr(simulation, "load", lambda path: calibration)
    simulation.main(tmp_path)
    tables = tables_on_screen(capsys.readouterr().out)
    differ, seen = tables["Ratios of identical arms differ"], tables["What a calibration would see"]
    spread = spread_of(samples(calibration)["tiny"])
    assert differ.columns == ["workload", "between processes", "between rounds"]
    assert differ.rows == [["tiny", f"{spread.processes:.1%}", f"{spread.rounds:.1%}"]]
    assert seen.columns == ["processes", "rounds", "time", "called different", "4% found", "50% found"]
    for rounds, row in zip((10, 20), seen.rows, strict=True):
        found = simulate(calibration, 3, rounds, (0.04, 0.5), 20)
        shares = f"{found.wrong:.1%}", f"{found.found[0.04]:.0%}", f"{found.found[0.5]:.0%}"
        assert row == ["3", str(rounds), f"{found.time_s:.0f} s", *shares]

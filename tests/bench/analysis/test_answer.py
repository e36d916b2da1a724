"""Which framework is the fastest, by which clock, and what is called instead."""

import numpy as np
import pytest
from msgspec.structs import replace
from support.runs import (
    FAST,
    make_arm,
    make_benchmark,
    make_results,
    with_benchmarks,
    with_facts,
)
from trigru.bench.analysis.advice import advice_of
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.merge import judged_by_other_clock

PROCESS = np.repeat(range(5), 3)


def timed(times_s, workload="question", process=PROCESS, phase="forward", **facts):
    """Arms of a group by their times, which grow a little from process to process."""
    benchmarks = []
    for name, time_s in times_s.items():
        ratio = float(np.mean(time_s)) / 1e-4
        arm = make_arm(name, workload, phase)
        slowed_s = time_s * (1 + 1e-4 * process)
        benchmarks.append(make_benchmark(arm, slowed_s, process, ratio=ratio, **facts))
    return benchmarks


def only_row(benchmarks):
    (row,) = answer(make_results(benchmarks)).rows
    return row


def test_the_leader_has_the_smallest_time_and_others_are_slower_or_not_told_apart():
    documented = only_row(timed(FAST)).rankings["documented"]
    assert documented.leader == "linen"
    assert documented.best == ["linen"]
    ratios = {p: d.comparison.ratio for p, d in documented.slower.items()}
    assert ratios == pytest.approx({"nnx": 3.5, "equinox": 1.4})
    assert documented.spread == pytest.approx(3.5)


def test_who_is_fastest_does_not_depend_on_a_baseline_that_jumps():
    """The ratio to plain JAX may order frameworks otherwise than their own times do."""
    times = {
        "pure[jit]": np.tile([3e-5, 4e-5], 6),
        "linen[apply]": np.full(12, 5.6e-5),
        "nnx[split-merge]": np.full(12, 5.7e-5),
        "equinox[partition]": np.full(12, 5.2e-5),
    }
    row = only_row(timed(times, process=np.repeat([0, 1], 6)))
    assert row.rankings["functional"].best == ["equinox"]


def test_a_noisy_one_is_not_told_apart_from_the_leader():
    times = {
        "pure[jit]": 1e-4,
        "linen[apply]": 1e-4,
        "nnx[split-merge]": 1.1e-4,
        "equinox[partition]": np.tile([0.7e-4, 1.2e-4, 1.5e-4], 5),
    }
    ranking = only_row(timed(times)).rankings["functional"]
    assert ranking.leader == "linen"
    assert ranking.best == ["linen", "equinox"]
    assert list(ranking.slower) == ["nnx"]
    comparison = ranking.over_leader["equinox"].comparison
    assert comparison.low < 1 < comparison.high


def test_one_that_another_was_shown_to_beat_does_not_lead():
    times = {
        "pure[jit]": 1e-4,
        "linen[apply]": 1.04e-4,
        "nnx[split-merge]": 1e-4,
    }
    ranking = only_row(timed(times)).rankings["functional"]
    assert (ranking.leader, ranking.best) == ("nnx", ["nnx"])


def test_one_on_another_device_is_not_compared():
    odd = []
    for b in timed(FAST):
        if b.arm.port == "equinox":
            b = with_facts(b, backend="gpu", device="A GPU")
        odd.append(b)
    ranking = only_row(odd).rankings["functional"]
    assert ranking.not_compared == {"equinox": "it ran on A GPU"}
    assert list(ranking.pairs) == [("linen", "nnx")]
    assert "equinox" in ranking.benchmarks
    assert "equinox" not in (*ranking.best, *ranking.over_leader)


def test_a_single_framework_does_not_lead():
    alone = {name: FAST[name] for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")}
    for ranking in only_row(timed(alone)).rankings.values():
        assert ranking.leader is None
        assert ranking.best == []


def test_few_rounds_have_no_leader():
    benchmarks = timed(FAST, process=np.zeros(2, int))
    for ranking in only_row(benchmarks).rankings.values():
        assert ranking.leader is None


# What is called instead -----------------------------------------------------------------


def test_the_fastest_style_that_keeps_updates_is_advised_and_not_ranked():
    own = {
        "nnx[nnx.jit-tree]": 2e-4,
        "nnx[jit_partial]": 1e-4,
        "nnx[cached_partial]": 0.5e-4,
    }
    row = only_row(timed(FAST | own))
    styles = {p: a.benchmark.arm.style for p, a in row.alternatives.items()}
    assert styles == {"nnx": "jit_partial", "equinox": "partition"}
    assert row.alternatives["nnx"].difference.comparison.ratio == pytest.approx(3.5)
    assert row.rankings == only_row(timed(FAST)).rankings


def test_the_functional_style_is_advised_where_it_is_clearly_faster():
    own = {"nnx[jit_partial]": 1.5e-4}
    row = only_row(timed(FAST | own))
    assert row.alternatives["nnx"].benchmark.arm.style == "split-merge"


def test_advice_is_of_the_size_where_it_saves_most():
    few = FAST | {"nnx[nnx.jit]": 1.2e-4}
    run = make_results([*timed(few, "tiny"), *timed(FAST, "medium")])
    (situation,) = answer(run).situations
    advice = advice_of(situation)
    assert str(advice.row.workload) == "medium"
    styles = [(s.benchmark.arm.port, s.benchmark.arm.style) for s in advice.suggestions]
    assert styles == [
        ("linen", "apply"),
        ("nnx", "split-merge"),
        ("equinox", "partition"),
    ]
    assert advice.suggestions[0].saving is None
    assert advice.suggestions[1].saving.ratio == pytest.approx(3.5)


def test_there_is_no_advice_where_the_documented_calls_are_as_fast():
    alike = dict.fromkeys(FAST, 1e-4)
    (situation,) = answer(make_results(timed(alike))).situations
    assert advice_of(situation) is None


# Clocks ---------------------------------------------------------------------------------

#: Three processes, which read the other clock in two rounds each; times by both clocks,
#: in plain JAX's.
THREE = np.repeat(range(3), 8)
OTHER_PROCESS = np.repeat(range(3), 2).tolist()
CLOCKS = {
    "pure[jit]": (1.0, 1.0),
    "pure[jit]#2": (1.0, 1.06),
    "linen[apply]": (2.0, 1.2),
    "nnx[nnx.jit]": (1.5, 1.5),
    "nnx[split-merge]": (1.5, 1.5),
    "equinox[filter_jit]": (3.0, 1.05),
}


def by_two_clocks(rng, *phases, **facts):
    machine = rng.lognormal(0, 0.3, len(THREE))
    other_machine = rng.lognormal(0, 0.3, len(OTHER_PROCESS))
    benchmarks = []
    for name, (first, other) in CLOCKS.items():
        for phase in phases:
            noise = rng.lognormal(0, 1e-3, len(other_machine))
            benchmark = make_benchmark(
                make_arm(name, phase=phase),
                first * machine * 1e-3,
                THREE,
                ratio=first,
                floor=0.01,
                other_s=(other * other_machine * noise * 1e-3).tolist(),
                other_process=OTHER_PROCESS,
                **facts,
            )
            benchmarks.append(benchmark)
    return make_results(benchmarks)


@pytest.mark.parametrize(
    ("clock", "other_phase"), [("blocked", "train_step"), ("pipelined", "step")]
)
def test_steps_are_waited_for_and_train_steps_are_not(rng, clock, other_phase):
    shown = answer(by_two_clocks(rng, "step", "train_step", "forward", clock=clock))
    assert [(s.phase, s.clock) for s in shown.situations] == [
        ("step", "blocked"),
        ("train_step", "pipelined"),
    ]
    turned = [row for row in shown.rows if row.clock != clock]
    assert [row.phase for row in turned] == [other_phase]

    best = {s.phase: s.rows[0].rankings["functional"].best for s in shown.situations}
    # by the clock that leads, NNX is faster; by the other, linen is
    expected = {"step": ["nnx"], "train_step": ["nnx"], other_phase: ["linen"]}
    assert best == expected


def test_a_phase_without_its_usual_clock_is_told_by_the_other(rng):
    run = by_two_clocks(rng, "step", "train_step")
    without = []
    for b in run.benchmarks:
        samples = [s for s in b.samples if s.clock == b.clock]
        without.append(replace(b, samples=samples))
    shown = answer(with_benchmarks(run, without))
    assert [(s.phase, s.clock) for s in shown.situations] == [
        ("step", "blocked"),
        ("train_step", "blocked"),
    ]


def test_other_phases_are_told_where_one_of_the_main_ones_is_missing(rng):
    shown = answer(by_two_clocks(rng, "gradient", "forward", "step"))
    assert [s.phase for s in shown.situations] == ["step", "forward", "gradient"]


@pytest.mark.parametrize("lost", ["pure[jit]", "pure[jit]#2", "linen[apply]", ""])
def test_without_rounds_of_it_in_every_process_the_other_clock_says_nothing(rng, lost):
    run = by_two_clocks(rng, "forward")
    benchmarks = []
    for b in run.benchmarks:
        if lost in b.name:
            kept = [s for s in b.samples if s.process < 2 or s.clock == b.clock]
            b = replace(b, samples=kept)
        benchmarks.append(b)
    run = with_benchmarks(run, benchmarks)
    turned = {b.name for b in judged_by_other_clock(run.benchmarks).values()}
    assert "linen[apply]" not in turned
    assert ("nnx[nnx.jit]" in turned) == (lost == "linen[apply]")


def test_a_cause_by_the_other_clock_is_told_by_that_clocks_arms(rng):
    """NNX and Equinox differ in functional style by both clocks; where both pass
    leaves, by one of them.
    """
    noise = rng.lognormal(0, 1e-4, (6, 15))
    names = (
        "pure[jit]",
        "pure[jit]#2",
        "nnx[split-merge]",
        "equinox[partition]",
        "nnx[leaves]",
        "equinox[leaves]",
    )
    for leaves, causes in (
        ((2.0, 1.0), ["unexplained", "boundary"]),
        ((1.0, 2.0), ["boundary", "unexplained"]),
    ):
        slow = {"nnx[split-merge]": (2.0, 2.0), "nnx[leaves]": leaves}
        benchmarks = []
        for name, noise_of_arm in zip(names, noise, strict=True):
            first, other = slow.get(name, (1.0, 1.0))
            benchmark = make_benchmark(
                make_arm(name, phase="train_step"),
                1e-4 * first * noise_of_arm,
                PROCESS,
                ratio=first,
                floor=0.01,
                other_s=(1e-4 * other * noise_of_arm).tolist(),
                other_process=PROCESS.tolist(),
            )
            benchmarks.append(benchmark)
        rows = answer(make_results(benchmarks)).rows
        assert [row.clock for row in rows] == ["blocked", "pipelined"]
        told = []
        for row in rows:
            told.append(row.rankings["functional"].pairs["nnx", "equinox"].cause)
        assert told == causes

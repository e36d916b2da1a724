"""Two arms against each other: pairs, what kernels and devices gain, and the tidy table
of all, from known ratios.
"""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from support import runs
from support.runs import (
    PROGRAM,
    draw_kernels,
    draw_run,
    make_arm,
    make_benchmark,
    make_results,
    plan,
    with_benchmarks,
)
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.pairs import (
    difference,
    labelled,
    negligible_from,
    speedups,
)
from trigru.bench.analysis.statistics import compare, typical_time
from trigru.bench.analysis.timings import timings
from trigru.bench.reporting.times import arm_tables

BASE_S = 1e-2


def changed(**counts):
    return replace(PROGRAM, fingerprint="other", **counts)


def group(over_s, programs=None, division="stock", **facts):
    """The baseline, which takes 10 ms, and arms that take that much longer, by name."""
    arms = {name: make_arm(name, division=division) for name in ("pure[jit]", *over_s)}
    programs = dict.fromkeys(arms, PROGRAM) | (programs or {})
    times_s = {name: [BASE_S + over_s.get(name, 0.0)] * 6 for name in arms}
    return [
        make_benchmark(arm, times_s[n], program=programs[n], floor=0.0, **facts)
        for n, arm in arms.items()
    ]


NNX, SPLIT, LEAVES = "nnx[nnx.jit]", "nnx[split-merge]", "nnx[leaves]"
FILTER, PARTITION, EQUINOX_LEAVES = (
    "equinox[filter_jit]",
    "equinox[partition]",
    "equinox[leaves]",
)


@pytest.mark.parametrize(
    ("one", "other", "over_s", "programs", "expected"),
    [
        (NNX, SPLIT, {NNX: 2e-3, SPLIT: 0.0}, {}, "boundary"),
        (NNX, SPLIT, {NNX: 2.1e-3, SPLIT: 0.0}, {}, "unexplained"),
        (NNX, SPLIT, {NNX: -2.1e-3, SPLIT: 0.0}, {}, "unexplained"),
        (NNX, SPLIT, {NNX: 1e-3, SPLIT: 0.0}, {NNX: changed()}, "style"),
        (NNX, SPLIT, {NNX: 0.0, SPLIT: 0.0}, {NNX: changed(dots=9)}, "none"),
        (NNX, SPLIT, {NNX: 1e-3, SPLIT: 0.0}, {NNX: None}, "unread"),
        (NNX, FILTER, {NNX: 1e-3, FILTER: 0.0}, {NNX: changed(dots=6)}, "style"),
        (
            SPLIT,
            PARTITION,
            {SPLIT: 1e-3, PARTITION: 0.0},
            {SPLIT: changed(dots=6)},
            "program",
        ),
        (SPLIT, PARTITION, {SPLIT: 1e-3, PARTITION: 0.0}, {}, "unexplained"),
        (SPLIT, PARTITION, {SPLIT: -1e-3, PARTITION: 0.0}, {}, "unexplained"),
        (
            SPLIT,
            PARTITION,
            {SPLIT: 1e-3, PARTITION: 0.0, LEAVES: 0.0, EQUINOX_LEAVES: 0.0},
            {},
            "boundary",
        ),
        (
            SPLIT,
            PARTITION,
            {SPLIT: 1e-3, PARTITION: 0.0, LEAVES: 1e-3, EQUINOX_LEAVES: 0.0},
            {},
            "unexplained",
        ),
        (
            SPLIT,
            PARTITION,
            {SPLIT: 3e-3, PARTITION: 0.0, LEAVES: 0.0, EQUINOX_LEAVES: 0.0},
            {},
            "unexplained",
        ),
    ],
)
def test_styles_and_programs_tell_the_cause(one, other, over_s, programs, expected):
    arms = {b.name: b for b in group(over_s, programs)}
    for first, second in ((one, other), (other, one)):
        assert difference([*arms.values()], arms[first], arms[second]).cause == expected


def test_a_cause_is_told_by_arms_of_its_own_work_alone():
    over_s = {SPLIT: 1e-3, PARTITION: 0.0}
    own = {b.name: b for b in group(over_s | {LEAVES: 0.0, EQUINOX_LEAVES: 0.0})}
    slow = [
        b
        for b in group(over_s | {LEAVES: 1e-3, EQUINOX_LEAVES: 0.0})
        if "leaves" in b.name
    ]
    other_group = group({LEAVES: 1e-3, EQUINOX_LEAVES: 0.0}, division="fused")
    other_clock = group({LEAVES: 1e-3, EQUINOX_LEAVES: 0.0}, clock="pipelined")
    for more in (other_group, other_clock):
        found = difference([*own.values(), *more], own[SPLIT], own[PARTITION])
        assert found.cause == "boundary"
    lacking = [b for b in own.values() if b not in (own[LEAVES], own[EQUINOX_LEAVES])]
    assert (
        difference([*lacking, *slow], own[SPLIT], own[PARTITION]).cause == "unexplained"
    )


def test_the_boundary_is_held_to_the_estimate_and_not_to_an_end_of_its_interval():
    over_s = np.repeat([1.9e-3, 2.2e-3, 2.5e-3], 4)
    times = {
        "pure[jit]": np.full(12, BASE_S),
        NNX: BASE_S + over_s,
        SPLIT: np.full(12, BASE_S),
    }
    found = [
        make_benchmark(make_arm(name), t, np.repeat([0, 1, 2], 4), floor=0.0)
        for name, t in times.items()
    ]
    two = difference(found, found[1], found[2])
    assert two.difference_low_s < 2e-3 < two.difference_s
    assert two.cause == "unexplained"


def test_a_difference_has_the_paired_interval_and_no_verdict_within_the_floor(
    rng,
):
    machine = rng.lognormal(0, 0.3, 12) * 1e-3
    process = np.repeat([0, 1, 2], 4)
    one = 1.05 * machine * rng.lognormal(0, 0.002, 12)
    times = {"pure[jit]": machine, SPLIT: one, PARTITION: machine}
    for floor, expected in ((0.01, "slower"), (0.06, "indistinguishable")):
        found = [
            make_benchmark(make_arm(name), t, process, floor=floor)
            for name, t in times.items()
        ]
        two = difference(found, found[1], found[2])
        known = compare(one, machine, process)
        assert two.verdict == expected
        assert two.comparison.ratio == pytest.approx(known.ratio)
        assert (two.comparison.low, two.comparison.high) == pytest.approx(
            (known.low, known.high), rel=1e-3
        )
        assert two.difference_low_s == pytest.approx(
            (two.comparison.low - 1) * typical_time(machine, process)
        )


def test_frameworks_meet_in_one_label_by_their_own_cells():
    names = (
        "pure[jit]#2",
        "linen[apply]",
        "linen[apply]:fused",
        NNX,
        SPLIT,
        FILTER,
        PARTITION,
    )
    met = labelled(group(dict.fromkeys(names, 0.0)), "functional").values()
    assert [b.name for b in met] == ["pure[jit]", "linen[apply]", SPLIT, PARTITION]


@pytest.mark.parametrize("clock", ["blocked", "pipelined"])
def test_where_calls_are_queued_the_other_clock_is_latency(clock):
    section, *_ = arm_tables(
        make_results(group({"pure[jit]#2": 0.0, NNX: 1e-3}, clock=clock))
    )
    assert ("latency" in " ".join(section.notes)) == (clock == "pipelined")


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({"dots": 6, "fusions": 9, "whiles": 0}, (("dots", 6, 2), ("whiles", 0, 1))),
        ({"fusions": 9}, (("fusions", 9, 5),)),
        ({"temp_bytes": 9}, ()),
    ],
)
def test_operations_are_counted_where_their_numbers_differ(facts, counts):
    benchmarks = group({SPLIT: 1e-3, PARTITION: 0.0}, {SPLIT: changed(**facts)})
    assert difference(benchmarks, benchmarks[1], benchmarks[2]).counts == counts


def sized(share, high_share):
    return make_benchmark(
        make_arm("linen[apply]"), [1.0], ratio=1 + share, high=1 + high_share
    )


def test_a_size_counts_only_where_every_larger_one_does():
    for shares, expected in (
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.002)], (128, True)),
        ([(0.1, 0.11), (0.001, 0.002), (0.001, 0.002)], (32, True)),
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.02)], (128, False)),
        ([(0.1, 0.11), (0.01, 0.02), (0.02, 0.02)], (None, False)),
        ([(0.001, 0.002), (0.02, 0.03), (0.001, 0.002)], (128, True)),
        (
            [(0.001, 0.005), (0.001, 0.02), (0.001, 0.005)],
            (128, True),
        ),  # an interval that reaches further in between
    ):
        sizes = {
            size: sized(*of) for size, of in zip((8, 32, 128), shares, strict=True)
        }
        assert negligible_from(sizes) == expected, shares


PROCESS = np.repeat(np.arange(6), 8)
#: By the name of an arm and, on several devices, their number and way: its time.
TIMES = {
    ("pure[jit]",): 1.0,
    ("pure[jit]#2",): 1.0,
    ("linen[apply]",): 3.0,
    ("linen[apply]", 2, "placed"): 6.0,
    ("linen[apply]", 2, "shard_map"): 2.0,
    ("linen[apply]", 4, "placed"): 3.01,
}


def on_devices(rng, times, division="stock"):
    """A group on a machine that drifts."""
    machine, found = rng.lognormal(0, 0.3, len(PROCESS)), []
    for (name, *where), time_s in times.items():
        arm = make_arm(name, "medium", "train_step", division)
        if where:
            arm = msgspec.structs.replace(
                arm, devices=where[0], way=where[1], role="arm"
            )
        noisy = time_s * machine * rng.lognormal(0, 1e-3, len(PROCESS))
        found.append(make_benchmark(arm, noisy, PROCESS, floor=0.02, ratio=time_s))
    return make_results(found, plan=plan(workloads=("medium",), devices=(1, 2, 4)))


def test_kernels_are_compared_with_themselves_on_one_device(rng):
    times = {
        ("pure[jit]",): 1.0,
        ("pure[jit]#2",): 1.0,
        ("pure[jit]:fused",): 0.5,
        ("pure[jit]", 2, "placed"): 2.0,
        ("pure[jit]:fused", 2, "placed"): 0.25,
    }
    run = on_devices(rng, times, "fused")
    assert {
        s.benchmark.name: round(s.ratio.ratio, 1) for s in speedups(run, "one device")
    } == {"pure[jit] on 2, placed": 0.5, "pure[jit]:fused on 2, placed": 2.0}
    (kernel,) = speedups(run)
    assert kernel.ratio.ratio == pytest.approx(2.0, rel=1e-2), "on one device"


def test_arms_on_several_devices_stand_in_no_other_table(rng):
    run = on_devices(rng, TIMES)
    (row,) = answer(run).rows
    assert [
        b.comparison.ratio for b in row.rankings["functional"].benchmarks.values()
    ] == pytest.approx([3.0])
    rows = timings([run])
    times = {(row.port, row.devices): row.time_s for row in rows}
    assert times["linen", 1] == pytest.approx(
        np.median(run.benchmarks[2].time_s), rel=1e-2
    )
    assert not [
        row for section in arm_tables(run) for row in section.rows if " on " in row[0]
    ]


def test_each_style_is_compared_with_its_own_stock_arm(rng):
    results = draw_kernels(rng)
    assert {s.temp_share for s in speedups(results)} == {0.25}
    none = replace(PROGRAM, temp_bytes=0)
    lean = [
        runs.with_facts(b, program=none) if b.arm.kernel != "stock" else b
        for b in results.benchmarks
    ]
    assert {s.temp_share for s in speedups(with_benchmarks(results, lean))} == {0.0}
    without = [b for b in results.benchmarks if b.name != "nnx[nnx.jit]"]
    assert {
        s.benchmark.arm.port for s in speedups(with_benchmarks(results, without))
    } == {"pure"}
    others = [
        make_benchmark(
            msgspec.structs.replace(b.arm, style="pytree"), 3 * b.time_s, b.process
        )
        for b in results.benchmarks
        if b.arm.port == "nnx"
    ]
    found = speedups(with_benchmarks(results, results.benchmarks + others))
    for arm in ("nnx[nnx.jit]", "nnx[pytree]"):
        assert sorted(s.ratio.ratio for s in found if s.arm == arm) == pytest.approx(
            [1.0, 2.0, 4.0], rel=1e-3
        )


pytestmark = pytest.mark.usefixtures("quick_bootstrap")


@pytest.fixture(scope="module")
def run():
    return draw_run(
        3, groups=("tiny/forward", "tiny/train_step"), processes=3, rounds=5
    )


def test_a_row_has_the_verdict_of_its_arm(run):
    verdicts = {
        (b.arm.phase, b.name, None if b.arm.is_baseline else b.verdict)
        for b in run.benchmarks
    }
    rows = timings([run])
    assert {(row.phase, row.arm, row.verdict) for row in rows} == {
        verdict for verdict in verdicts if not verdict[1].endswith("#2")
    }


def test_what_is_odd_says_why(run):
    odd = runs.with_facts(run, steady=False)
    row = next(row for row in timings([odd]) if row.port == "nnx")
    assert row.remark == "not steady at the end of the warm-up in 3 of 3 processes"


def test_kernels_and_runs_are_told_apart(run, rng):
    rows = timings([run, draw_kernels(rng)])
    assert {row.file for row in rows} == {1, 2}
    assert {(row.file, row.kernel, row.division) for row in rows} == {
        (1, "stock", "stock"),
        (2, "stock", "stock"),
        (2, "stock", "fused"),
        (2, "fused", "fused"),
    }

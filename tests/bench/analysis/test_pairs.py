"""Two arms of a group against each other: the difference with its interval, and its cause."""

import msgspec
import numpy as np
import pytest
from support.runs import PROGRAM, make_arm, make_benchmark, make_results
from trigru.bench.analysis.pairs import difference, frameworks, labelled, negligible_from, reference_of
from trigru.bench.analysis.statistics import compare

BASE_S = 1e-2


def changed(**counts):
    return msgspec.structs.replace(PROGRAM, fingerprint="other", **counts)


def group(over_s, programs=None, workload="tiny", phase="forward", division="stock", floor=0.0, **facts):
    """The baseline, which takes 10 ms, and arms that take that much longer, by name."""
    names = ["pure[jit]", *over_s]
    found = []
    for name in names:
        arm = make_arm(name, workload, phase, division)
        program = (programs or {}).get(name, PROGRAM)
        time_s = [BASE_S + over_s.get(name, 0.0)] * 6
        found.append(make_benchmark(arm, time_s, program=program, floor=floor, **facts))
    return found


def cause(one, other, *groups):
    """Of two arms of the last group."""
    results = make_results([b for benchmarks in groups for b in benchmarks])
    of_name = {b.name: b for b in groups[-1]}
    return difference(results, of_name[one], of_name[other]).cause


NNX, SPLIT, LEAVES = "nnx[nnx.jit]", "nnx[split-merge]", "nnx[leaves]"
FILTER, PARTITION, EQUINOX_LEAVES = "equinox[filter_jit]", "equinox[partition]", "equinox[leaves]"


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
        (SPLIT, PARTITION, {SPLIT: 1e-3, PARTITION: 0.0}, {SPLIT: changed(dots=6)}, "program"),
        (SPLIT, PARTITION, {SPLIT: 1e-3, PARTITION: 0.0}, {}, "unexplained"),
        (SPLIT, PARTITION, {SPLIT: -1e-3, PARTITION: 0.0}, {}, "unexplained"),
        (SPLIT, PARTITION, {SPLIT: 1e-3, PARTITION: 0.0, LEAVES: 0.0, EQUINOX_LEAVES: 0.0}, {}, "boundary"),
        (SPLIT, PARTITION, {SPLIT: 1e-3, PARTITION: 0.0, LEAVES: 1e-3, EQUINOX_LEAVES: 0.0}, {}, "unexplained"),
        (SPLIT, PARTITION, {SPLIT: 3e-3, PARTITION: 0.0, LEAVES: 0.0, EQUINOX_LEAVES: 0.0}, {}, "unexplained"),
    ],
)
def test_styles_and_programs_tell_the_cause(one, other, over_s, programs, expected):
    assert cause(one, other, group(over_s, programs)) == expected
    assert cause(other, one, group(over_s, programs)) == expected


def test_the_boundary_is_held_to_the_estimate_and_not_to_an_end_of_its_interval():
    process = np.repeat([0, 1, 2], 4)
    over_s = np.repeat([1.9e-3, 2.2e-3, 2.5e-3], 4)
    times = {"pure[jit]": np.full(12, BASE_S), NNX: BASE_S + over_s, SPLIT: np.full(12, BASE_S)}
    found = [make_benchmark(make_arm(name), t, process, program=PROGRAM, floor=0.0) for name, t in times.items()]
    results = make_results(found)
    two = difference(results, found[1], found[2])
    assert two.difference_low_s < 2e-3 < two.difference_s
    assert two.cause == "unexplained"


def test_other_equations_are_no_cause_to_look_for():
    benchmarks = group({NNX: 1e-3, SPLIT: 0.0}, differs="two biases", gate=None)
    assert cause(NNX, SPLIT, benchmarks) == "equations"


def test_a_difference_has_the_interval_of_the_paired_ratio_and_no_verdict_within_the_floor(rng):
    machine = rng.lognormal(0, 0.3, 12) * 1e-3
    process = np.repeat([0, 1, 2], 4)
    one = 1.05 * machine * rng.lognormal(0, 0.002, 12)
    times = {"pure[jit]": machine, SPLIT: one, PARTITION: machine}
    for floor, expected in ((0.01, "slower"), (0.06, "indistinguishable")):
        found = [make_benchmark(make_arm(name), t, process, floor=floor) for name, t in times.items()]
        two = difference(make_results(found), found[1], found[2])
        known = compare(one, machine, process)
        assert two.verdict == expected
        assert two.ratio == pytest.approx(known.ratio)
        assert (two.low, two.high) == pytest.approx((known.low, known.high), rel=1e-3)
        assert two.difference_low_s == pytest.approx((two.low - 1) * np.median(machine))


def test_frameworks_meet_in_one_label_and_plain_jax_does_not_compete():
    names = ("pure[jit]#2", "linen[apply]", "linen[apply]:fused", NNX, SPLIT, FILTER, PARTITION)
    benchmarks = group(dict.fromkeys(names, 0.0), division="fused")
    assert [b.name for b in labelled(benchmarks, "functional").values()] == [
        "pure[jit]", "linen[apply]", SPLIT, PARTITION,
    ]  # fmt: skip
    assert list(frameworks(benchmarks, "documented")) == ["linen", "nnx", "equinox"]
    of_name = {b.name: b for b in benchmarks}
    explained = {name: reference_of(of_name[name], benchmarks).name for name in (NNX, SPLIT, FILTER)}
    assert explained == {NNX: SPLIT, SPLIT: "pure[jit]", FILTER: PARTITION}


def test_operations_are_counted_where_their_numbers_differ():
    programs = {SPLIT: changed(dots=6, fusions=9, whiles=0, transposes=12)}
    benchmarks = group({SPLIT: 1e-3, PARTITION: 0.0}, programs)
    two = difference(make_results(benchmarks), benchmarks[1], benchmarks[2])
    assert two.counts == (("dots", 6, 2), ("transposes", 12, 3), ("whiles", 0, 1))
    benchmarks = group({SPLIT: 1e-3, PARTITION: 0.0}, {SPLIT: changed(fusions=9)})
    assert difference(make_results(benchmarks), benchmarks[1], benchmarks[2]).counts == (("fusions", 9, 5),)
    benchmarks = group({SPLIT: 1e-3, PARTITION: 0.0}, {SPLIT: changed(temp_bytes=9)})
    assert difference(make_results(benchmarks), benchmarks[1], benchmarks[2]).counts == ()


def sized(share, high_share):
    return make_benchmark(make_arm("linen[apply]"), [1.0], ratio=1 + share, ratio_high=1 + high_share)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.002)], (128, True)),
        ([(0.1, 0.11), (0.001, 0.002), (0.001, 0.002)], (32, True)),
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.02)], (128, False)),
        ([(0.1, 0.11), (0.01, 0.02), (0.02, 0.02)], (None, False)),
        ([(0.001, 0.002), (0.02, 0.03), (0.001, 0.002)], (128, True)),
        ([(0.001, 0.005), (0.001, 0.02), (0.001, 0.005)], (128, True)),  # an interval that reaches further in between
    ],
)
def test_a_size_counts_only_where_every_larger_one_does(shares, expected):
    assert negligible_from({size: sized(*of) for size, of in zip((8, 32, 128), shares, strict=True)}) == expected

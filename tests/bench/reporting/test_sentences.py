"""What sentences say of situations, sizes and ways of calling."""

import numpy as np
import pytest
from support.runs import FAST, make_arm, make_benchmark, make_results
from trigru.bench.analysis.answer import answer
from trigru.bench.reporting.sentences import told

pytestmark = pytest.mark.usefixtures("quick_bootstrap")

PROCESS = np.repeat(range(5), 3)


def timed(times_s, workload="question", phase="forward", floor=0.01):
    benchmarks = []
    for name, time_s in (FAST | times_s).items():
        arm = make_arm(name, workload, phase)
        slowed_s = time_s * (1 + 1e-4 * PROCESS)
        benchmarks.append(make_benchmark(arm, slowed_s, PROCESS, floor=floor))
    return benchmarks


def sentences(*groups):
    """The sentences on one situation, at some sizes."""
    benchmarks = [b for group in groups for b in group]
    (situation,) = told(answer(make_results(benchmarks)))
    assert (situation.subject, situation.loop) == (
        "Forward pass",
        "each call waited for",
    )
    return situation.sentences


def functional(*times):
    """Times in functional style; linen's is its documented call, too."""
    names = ("linen[apply]", "nnx[split-merge]", "equinox[partition]")
    return dict(zip(names, times, strict=True))


CALLED = "In functional style, "


def test_the_fastest_and_how_many_times_as_long_the_others_take():
    matters, documented, called = sentences(timed({}))
    assert documented == (
        "As documented, linen is the fastest (NNX takes 3.5 times as long, Equinox "
        "1.40 times)."
    )
    assert called == (
        f"{CALLED}no difference was found between linen, NNX and Equinox."
    )
    assert matters.startswith("How you call NNX and Equinox matters more than")


def test_several_that_cannot_be_told_apart():
    times = functional(1e-4, 1.3e-4, 1e-4)
    assert sentences(timed(times))[-1] == (
        f"{CALLED}linen and Equinox are the fastest and cannot be told apart (NNX "
        "takes 1.30 times as long)."
    )


def test_small_differences_are_told_by_the_largest_factor():
    times = functional(1e-4, 1.02e-4, 1.041e-4)
    assert sentences(timed(times))[-1] == (
        f"{CALLED}linen is the fastest, and no other takes more than about 1.04 times "
        "as long."
    )


def test_sizes_with_different_answers_are_told_apart():
    first = timed(functional(1e-4, 1.3e-4, 1.5e-4), "tiny")
    second = timed(functional(1.3e-4, 1e-4, 1.5e-4), "question")
    third = timed(functional(1e-4, 1.6e-4, 1.2e-4), "medium")
    assert sentences(first, second, third)[-1] == (
        f"{CALLED}with 8 and 128 units, linen is the fastest (NNX takes 1.30 to 1.60 "
        "times as long, Equinox 1.20 to 1.50 times); with 200 units, NNX is the "
        "fastest (linen takes 1.30 times as long, Equinox 1.50 times)."
    )


def test_the_ends_of_a_wide_interval_take_the_place_of_its_estimate():
    noisy = np.repeat([2e-4, 4e-4, 8e-4, 3e-4, 9e-4], 3)
    _, documented, _ = sentences(timed({"nnx[nnx.jit]": noisy}))
    assert "NNX takes about " in documented


def test_a_size_that_tells_workloads_apart_is_the_number_of_sequences():
    benchmarks = [
        *timed({}, "question", "step"),
        *timed({"equinox[filter_jit]": 0.5e-4}, "medium", "step"),
    ]
    (situation,) = told(answer(make_results(benchmarks)))
    _, documented, _ = situation.sentences
    first, second = documented.removeprefix("As documented, ").split("; ")
    assert first.startswith("with 1 sequence and 200 units, linen is the fastest")
    assert second.startswith("with 32 sequences and 128 units, Equinox is the fastest")


def test_calling_does_not_matter_more_where_functional_calls_differ_too():
    texts = sentences(timed(functional(1e-4, 2e-4, 1e-4)))
    assert not any("matters more" in text for text in texts)


def test_noise_is_told_beside_what_still_shows():
    quiet = timed({}, "tiny")
    noisy = timed({}, "question", floor=0.2)
    texts = sentences(quiet, noisy)
    assert (
        "The machine was busy with 200 units: differences of less than 20% do not show."
    ) in texts
    assert any("NNX takes 3.5 times as long" in text for text in texts)


def test_nothing_firm_is_said_where_noise_hides_all_differences():
    alike = timed(dict.fromkeys(FAST, 1e-4), floor=0.3)
    (text,) = sentences(alike)
    assert text.startswith("No answer can be given: ")
    assert "30%" in text


def test_too_few_rounds_tell_nothing():
    benchmarks = []
    for name, time_s in FAST.items():
        benchmarks.append(make_benchmark(make_arm(name), [time_s, time_s], [0, 0]))
    assert sentences(benchmarks) == [
        "As documented: too few rounds were measured to tell.",
        "In functional style: too few rounds were measured to tell.",
    ]

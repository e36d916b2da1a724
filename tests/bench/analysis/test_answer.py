"""Which framework is named as the fastest, by which clock, and what is not compared."""

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import t
from support.runs import (
    FAST,
    make_arm,
    make_benchmark,
    make_results,
    with_benchmarks,
    with_facts,
)
from trigru.bench.analysis.answer import answer, least_seen
from trigru.bench.analysis.merge import judged_by_other_clock
from trigru.bench.reporting.advice import advice_of
from trigru.bench.reporting.answer import LINES, answer_lines
from trigru.bench.reporting.fastest import fastest_lines


def timed(times_s, workload="question", process=None, **facts):
    process = np.repeat(range(5), 3) if process is None else process
    ratios = {name: float(np.mean(s)) / 1e-4 for name, s in times_s.items()}
    slowed = {name: s * (1 + 1e-4 * process) for name, s in times_s.items()}
    return [
        make_benchmark(
            make_arm(n, workload), slowed[n], process, ratio=ratios[n], **facts
        )
        for n in times_s
    ]


def test_the_fastest_style_that_keeps_state_is_advised_and_not_ranked():
    own = {
        "nnx[nnx.jit-tree]": 2e-4,
        "nnx[jit_partial]": 1.5e-4,
        "nnx[cached_partial]": 1e-4,
    }
    (row,) = answer(make_results(timed(FAST | own))).rows
    assert {port: b.arm.style for port, b in row.keeping.items()} == {
        "nnx": "jit_partial"
    }
    advised = {port: d.other for port, d in row.advised.items()}
    assert advised == {"nnx": "nnx[jit_partial]", "equinox": "equinox[partition]"}
    assert row.cells == answer(make_results(timed(FAST))).rows[0].cells
    for time_s, than in ((0.8e-4, "those above"), (1.5e-4, "their own above")):
        times = FAST | {"nnx[split-merge]": 3e-4, "nnx[jit_partial]": time_s}
        advice = advice_of(answer(make_results(timed(times))))
        assert advice.heading.startswith(f"Other styles, faster than {than}, ")


def test_who_is_fastest_does_not_depend_on_a_baseline_that_jumps():
    """The ratio to plain JAX may order frameworks otherwise than their own times do."""
    times = {"pure[jit]": np.tile([3e-5, 4e-5], 6), "linen[apply]": np.full(12, 5.6e-5)}
    times |= {
        "nnx[split-merge]": np.full(12, 5.7e-5),
        "equinox[partition]": np.full(12, 5.2e-5),
    }
    (row,) = answer(make_results(timed(times, process=np.repeat([0, 1], 6)))).rows
    assert row.fastest["functional"] == ["equinox"]
    noisy = {
        "nnx[split-merge]": 1.1e-4,
        "equinox[partition]": np.tile([0.7e-4, 1.2e-4, 1.5e-4], 5),
    }
    (row,) = answer(
        make_results(timed({"pure[jit]": 1e-4, "linen[apply]": 1e-4} | noisy))
    ).rows
    assert row.fastest["functional"] == ["linen"], (
        "though a noisy time reaches below its own"
    )


def test_a_pair_is_the_difference_of_two_frameworks_on_one_device():
    odd = [
        with_facts(b, backend="gpu", device="A GPU") if b.arm.port == "equinox" else b
        for b in timed(FAST)
    ]
    (row,), (mixed,) = (answer(make_results(of)).rows for of in (timed(FAST), odd))
    two = ("linen", "nnx"), ("linen", "equinox"), ("nnx", "equinox")
    assert ([*row.pairs["functional"]], [*mixed.pairs["functional"]]) == (
        [*two],
        [*two[:1]],
    )
    for pair, d in row.pairs["functional"].items():
        assert (d.one, d.other) == tuple(
            row.cells["functional"][port].name for port in pair
        )


def test_a_single_framework_is_not_named_the_fastest():
    alone = {name: FAST[name] for name in ("pure[jit]", "pure[jit]#2", "linen[apply]")}
    (row,) = answer(make_results(timed(alone))).rows
    assert row.fastest == {"documented": [], "functional": []}


#: Three processes, which read the other clock in two rounds each; times by both clocks,
#: in plain JAX's.
PROCESS, OTHER_PROCESS = np.repeat(range(3), 8), np.repeat(range(3), 2).tolist()
CLOCKS = {
    "pure[jit]": (1.0, 1.0),
    "pure[jit]#2": (1.0, 1.06),
    "linen[apply]": (2.0, 1.2),
    "nnx[nnx.jit]": (1.5, 1.5),
    "nnx[split-merge]": (1.5, 1.5),
    "equinox[filter_jit]": (3.0, 1.05),
}


def by_two_clocks(rng, *phases, **facts):
    machine, other, found = (
        rng.lognormal(0, 0.3, len(PROCESS)),
        rng.lognormal(0, 0.3, len(OTHER_PROCESS)),
        [],
    )
    for name, (first, second) in [
        (name, ratios) for name, ratios in CLOCKS.items() for _ in phases
    ]:
        arm = make_arm(name, phase=phases[len(found) % len(phases)])
        noise = rng.lognormal(0, 1e-3, len(other))
        other_s = {
            "other_s": (second * other * noise * 1e-3).tolist(),
            "other_process": OTHER_PROCESS,
        }
        found.append(
            make_benchmark(
                arm,
                first * machine * 1e-3,
                PROCESS,
                ratio=first,
                floor=0.01,
                **other_s,
                **facts,
            )
        )
    return make_results(found)


def test_a_cause_by_the_other_clock_is_told_by_that_clocks_arms(rng):
    """NNX and Equinox differ in functional style by both clocks; where both pass
    leaves, by one of them.
    """
    pair, leaves = (
        ("nnx[split-merge]", "equinox[partition]"),
        ("nnx[leaves]", "equinox[leaves]"),
    )
    noise = rng.lognormal(0, 1e-4, (6, 15))
    for ratios, causes in (
        ((2.0, 1.0), ("unexplained", "boundary")),
        ((1.0, 2.0), ("boundary", "unexplained")),
    ):
        slow = {pair[0]: (2.0, 2.0), leaves[0]: ratios}
        found = []
        for name, of_name in zip(
            ("pure[jit]", "pure[jit]#2", *pair, *leaves), noise, strict=True
        ):
            (first, other), process = slow.get(name, (1.0, 1.0)), np.repeat(range(5), 3)
            by_other = {
                "other_s": (1e-4 * other * of_name).tolist(),
                "other_process": process.tolist(),
            }
            arm = make_arm(name, phase="train_step")
            found.append(
                make_benchmark(
                    arm,
                    1e-4 * first * of_name,
                    process,
                    ratio=first,
                    floor=0.01,
                    **by_other,
                )
            )
        (row,) = answer(make_results(found)).rows
        assert (
            tuple(
                of.pairs["functional"]["nnx", "equinox"].cause
                for of in (row, row.other)
            )
            == causes
        )


@pytest.mark.parametrize("lost", ["pure[jit]", "pure[jit]#2", "linen[apply]", ""])
def test_without_rounds_of_it_in_every_process_it_says_nothing(rng, lost):
    whole = by_two_clocks(rng, "forward")

    def shorter(b):
        """Without the samples of the other clock in the last process."""
        kept = [s for s in b.samples if s.process < 2 or s.clock == b.clock]
        return replace(b, samples=kept)

    run = with_benchmarks(
        whole, [shorter(b) if lost in b.name else b for b in whole.benchmarks]
    )
    turned = {b.name for b in judged_by_other_clock(run.benchmarks).values()}
    assert "linen[apply]" not in turned
    assert ("nnx[nnx.jit]" in turned) == (lost == "linen[apply]")


@pytest.mark.parametrize(
    ("clock", "other"), [("blocked", "train_step"), ("pipelined", "step")]
)
def test_steps_are_waited_for_and_train_steps_are_not(rng, clock, other):
    found = answer(by_two_clocks(rng, "step", "train_step", "forward", clock=clock))
    assert [row.phase for row in found.rows if row.other] == [other]
    assert {row.clock for row in found.rows} == {clock}
    one, _, step, training, _, train, *waited = fastest_lines(found)[
        : 7 if other == "train_step" else 6
    ]
    assert (
        one == "One GRU time step (each call waited for), fastest framework by style:"
    )
    assert (
        training
        == "Training updates (queued, none waited for), fastest framework by style:"
    )
    texts = "  functional: NNX (linen 1.33x).", "  functional: linen (NNX 1.25x)."
    assert (step, train) == (texts if other == "train_step" else texts[::-1])
    fast = "NNX as documented, NNX functional"
    assert waited == [f"If waited for, fastest: {fast}."] * (other == "train_step")
    train = next(row for row in found.rows if row.phase == "train_step")
    unknown = replace(train, fastest={})  # who is fast where each call is waited for
    for rows, known in (([unknown], False), ([train, unknown], bool(train.other))):
        told = [
            line
            for line in fastest_lines(replace(found, rows=rows))
            if line.startswith("If waited")
        ]
        assert [line.partition(" at ")[0] for line in told] == [
            "If waited for, fastest: NNX as documented"
        ] * known


def test_a_narrow_screen_leaves_out_ratios_or_waiting_before_what_styles_are():
    queued = {
        "nnx[nnx.jit]": (1.0, 3.5),
        "equinox[filter_jit]": (1.4, 0.5),
        "equinox[partition]": (1.5, 1.5),
    }
    waited = {
        "nnx[nnx.jit]": (2.0, 0.5),
        "equinox[filter_jit]": (0.5, 2.0),
        "equinox[partition]": (1.5, 0.5),
    }
    waited |= {"nnx[split-merge]": (0.5, 2.0)}
    process, found = np.repeat(range(5), 3), []
    for number, size in enumerate(("tiny", "question")):
        for name in FAST:
            first, other = (
                of.get(name, (1.2, 1.2))[number] * 1e-4 * np.ones(15)
                for of in (waited, queued)
            )
            by_other = {"other_s": other.tolist(), "other_process": process.tolist()}
            found.append(
                make_benchmark(
                    make_arm(name, size, "train_step"), first, process, **by_other
                )
            )
    run = answer(make_results(found))
    screens = [
        "\n".join(answer_lines(run, ["A warning."] * more)) for more in range(LINES)
    ]
    parts = [
        tuple(part in screen for part in ("takes 1.40x", "If waited", "Functional: "))
        for screen in screens
    ]
    steps = (
        (True, True, True),
        (False, True, True),
        (True, False, True),
        (False, False, True),
        (False, False, False),
    )
    assert [*dict.fromkeys(parts)] == [*steps]
    assert parts[-1] == steps[0], "where nothing makes it fit, nothing is left out"


def test_sizes_that_disagree_are_told_apart_and_ties_are_said():
    def styles(*times):
        runs = [
            timed(FAST | of, size)
            for of, size in zip(times, ("tiny", "question", "utterances"), strict=False)
        ]
        subject, *lines = fastest_lines(
            answer(make_results([b for run in runs for b in run]))
        )
        assert subject == "Forward pass, fastest framework by style:"
        return [line.partition(": ")[2] for line in lines]

    assert styles({}) == [
        "linen (NNX takes 3.5x its time, Equinox 1.40x).",
        "all tied.",
    ]
    depends = styles({}, {"equinox[filter_jit]": 0.5e-4})[0]
    assert (
        depends
        == "linen at T=8 (NNX takes 3.5x its time, Equinox 1.40x), Equinox at T=50 "
        "(linen 2.0x, NNX 7.0x)."
    )
    nearly = dict.fromkeys(("nnx[nnx.jit]", "equinox[filter_jit]"), 1e-4)
    assert (
        styles({}, nearly)[0]
        == "linen at T=8 (NNX takes 3.5x its time, Equinox 1.40x), all tied at T=50."
    )
    turned = {"linen[apply]": 2e-4, "nnx[nnx.jit]": 1e-4}
    assert styles(turned, {}, nearly)[0].endswith(
        ", linen at T=50 (NNX 3.5x, Equinox 1.40x), all tied at T=29."
    )
    shared, first = (
        styles({"equinox[partition]": 1.5e-4}),
        styles({"equinox[partition]": 1.5e-4, "linen[apply]": 2e-4}),
    )
    assert shared[1] in {
        f"{both} tied (Equinox 1.50x)." for both in ("linen and NNX", "NNX and linen")
    }
    assert first[1] == "NNX (linen 2.0x, Equinox 1.50x)."
    _, near = styles({"equinox[partition]": 1.04e-4, "nnx[split-merge]": 1.02e-4})
    assert near == "linen and NNX tied (all within 4%)."


@pytest.mark.parametrize("floor", [0.01, 0.3])
def test_the_least_difference_that_is_seen_four_times_in_five_by_hand(floor):
    """Of five processes by Student's t of their error; of two also by the 1 % by which
    runs differ; of one, by none.
    """

    def of(low, high, processes):
        known = {"low": low, "high": high, "floor": floor}
        return np.log1p(
            least_seen(
                [
                    make_benchmark(
                        make_arm("linen[apply]"),
                        np.ones(20),
                        np.arange(20) % processes,
                        **known,
                    )
                ]
            )
        )

    half, least = np.log(1.1 / 0.9) / 2, np.log1p(floor)
    assert of(1.0, 1.0, 5) == of(1.0, 1.0, 1) == pytest.approx(least)
    assert of(1.0, 1.0, 2) == pytest.approx(
        max(1.959964 * 0.01, least) + 0.841621 * 0.01
    )
    assert of(0.9, 1.1, 5) == pytest.approx(
        max(half, least) + t.ppf(0.8, 4) * half / t.ppf(0.975, 4)
    )


#: Of Equinox, which is told apart from nobody in the first size.
NOISY = {
    "first": np.tile([0.7e-4, 1.05e-4, 1.5e-4], 5),
    "neither": np.tile([0.7e-4, 1.2e-4, 1.5e-4], 5),
}


@pytest.mark.parametrize(
    ("times", "line"),
    [
        (
            ((1e-4, 1.1e-4, NOISY["first"]), (1.1e-4, 1e-4, NOISY["first"])),
            "linen and Equinox tied at T=8 (NNX takes 1.10x its time), NNX and Equinox "
            "tied at T=50 (linen 1.10x).",
        ),
        (((1.04e-4, 1e-4, NOISY["neither"]),), "NNX (linen takes 1.04x its time)."),
        (
            ((1e-4, 2e-4, 2e-4), (1e-4, 1e-4)),
            "linen at T=8 (NNX takes 2.0x its time, Equinox 2.0x), linen and NNX tied "
            "at T=50.",
        ),
        (
            ((1.1e-4, 1e-4, NOISY["neither"]), (1.1e-4, 1e-4, 1.5e-4)),
            "NNX (linen takes 1.10x its time, Equinox 1.50x at T=50).",
        ),
    ],
)
def test_one_that_is_too_noisy_is_among_the_fastest_or_not_named(times, line):
    arms = ("pure[jit]", "linen[apply]", "nnx[split-merge]", "equinox[partition]")
    sizes = dict(zip(("tiny", "question"), times, strict=False))
    runs = [
        timed(dict(zip(arms, (1e-4, *of), strict=False)), size)
        for size, of in sizes.items()
    ]
    found = answer(make_results([b for run in runs for b in run]))
    assert fastest_lines(found) == [
        "Forward pass, fastest framework by style:",
        f"  functional: {line}",
    ]

"""The clock that does not lead: ratios, a floor and verdicts of its own, and where the screen tells of it."""

import numpy as np
import pytest
from support.runs import make_arm, make_benchmark, make_results, plan, with_benchmarks, with_timed
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.pairs import other_clock
from trigru.bench.reporting.answer import answer_lines, clock_lines

PROCESSES, ROUNDS, OTHERS = 6, 8, 2
PROCESS = np.repeat(np.arange(PROCESSES), ROUNDS)
OTHER_PROCESS = np.repeat(np.arange(PROCESSES), OTHERS).tolist()
#: By the clock that leads, and by the other: time / plain JAX's.
TRUTH = {"pure[jit]": (1.0, 1.0), "pure[jit]#2": (1.0, 1.06), "linen[apply]": (2.0, 1.2),
         "nnx[nnx.jit]": (1.5, 1.53), "equinox[filter_jit]": (1.0, 1.05)}  # fmt: skip


def run(rng, truth=TRUTH, **facts):
    machine, other = (rng.lognormal(0, 0.3, n) for n in (len(PROCESS), len(OTHER_PROCESS)))
    found = []
    for name, (leading, second) in truth.items():
        time_s, other_s = (
            ratio * drift * rng.lognormal(0, 1e-3, len(drift)) * 1e-3
            for ratio, drift in ((leading, machine), (second, other))
        )
        asked = {"other_s": other_s.tolist(), "other_process": OTHER_PROCESS, "floor": 0.01}
        asked |= {"ratio": leading, "verdict": "slower" if leading > 1.01 else "indistinguishable"} | facts
        found.append(make_benchmark(make_arm(name), time_s, PROCESS, **asked))
    return make_results(found, plan=plan(ports=("pure", "linen", "nnx", "equinox"), processes=PROCESSES))


def by_name(results):
    return {b.name: other_clock(results, b) for b in results.benchmarks}


@pytest.mark.parametrize("lost", ["pure[jit]", "pure[jit]#2", "linen[apply]"])
def test_without_rounds_of_it_in_every_process_it_says_nothing(rng, lost):
    whole = run(rng)
    (b,) = (b for b in whole.benchmarks if b.name == lost)
    last = b.timed[PROCESSES - 1]
    shorter = with_timed(b, lambda timed: {"other_s": [] if timed is last else timed.other_s})
    found = with_benchmarks(whole, [shorter if other is b else other for other in whole.benchmarks])
    said = by_name(found)
    assert said["linen[apply]"] is None
    assert (said["nnx[nnx.jit]"] is None) == lost.startswith("pure")


def test_the_screen_names_the_ratio_that_differs_the_most(rng):
    """linen's, by far; not NNX's, 2 % apart, nor Equinox's, of the same verdict and within a tenth."""
    ways = "In flight, as in training", "Waited for"
    for clock, (first, second) in (("blocked", ways), ("pipelined", ways[::-1])):
        found = answer(run(rng, clock=clock))
        (line,) = clock_lines(found)
        assert line.startswith(f"{first}, forward pass as documented (B=1 T=8 D=4 H=8) takes linen 1.20x plain JAX's")
        assert line.endswith(f"; {second[0].lower()}{second[1:]}, 2.00x.")
        assert line[:60] in "\n".join(answer_lines(found))


@pytest.mark.parametrize(
    ("second", "differs"), [(2.0, False), (2.15, False), (2.3, True), (1.85, False), (1.75, True), (1.0, True)]
)
def test_a_ratio_differs_beyond_a_tenth_or_in_its_verdict(rng, second, differs):
    truth = {"pure[jit]": (1.0, 1.0), "pure[jit]#2": (1.0, 1.0), "linen[apply]": (2.0, second), "nnx[nnx.jit]": (2, 2)}
    lines = clock_lines(answer(run(rng, truth)))
    assert bool(lines) == differs


def test_a_verdict_that_is_lost_differs_however_near(rng):
    truth = {"pure[jit]": (1.0, 1.0), "pure[jit]#2": (1.0, 1.06), "linen[apply]": (1.09, 1.05), "nnx[nnx.jit]": (2, 2)}
    assert clock_lines(answer(run(rng, truth)))

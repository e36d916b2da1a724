"""What a run will be able to see, and what it could see, in sentences."""

import numpy as np
import pytest
from support.runs import make_arm, make_benchmark, make_results, plan
from trigru.bench.reporting.sight import expectation, sight_lines


def run(reach, processes=5):
    """An arm and the duplicate for each (workload, phase), whose intervals reach that far."""
    return make_results(
        [
            make_benchmark(
                make_arm(name, workload, phase),
                np.ones(2 * processes),
                np.arange(2 * processes) % processes,
                ratio_low=1 / (1 + share),
                ratio_high=1 + share,
                floor=0.0,
            )
            for (workload, phase), share in reach.items()
            for name in ("pure[jit]", "pure[jit]#2")
        ],
        plan=plan(processes=processes),
    )


@pytest.mark.parametrize("processes", [1, 5])
def test_a_run_ends_with_the_least_and_the_most_that_it_could_see(processes):
    # Student's t at 0.975 and 0.8: 2.776 and 0.941 of four degrees of freedom, 1.960 and 0.842 of infinitely many
    farther = 1 + (0.8416 / 1.9600 if processes == 1 else 0.9410 / 2.7764)
    found = sight_lines(
        run({("tiny", "forward"): 0.01, ("tiny", "step"): 0.04, ("question", "forward"): 0.02}, processes)
    )
    low, high = (f"{np.expm1(np.log1p(share) * farther):.1%}" for share in (0.01, 0.04))
    assert found[0] == (
        f"Differences from the baseline that this run could find four times in five: {low} (tiny forward) to {high} "
        "(tiny step)."
    )
    assert ["does not show how processes differ" in line for line in found[1:]] == [True] * (processes == 1)


def test_of_one_group_there_is_one_number_and_of_nothing_no_sentence():
    (line,) = sight_lines(run({("tiny", "forward"): 0.02}))
    assert line.endswith(f": {np.expm1(np.log1p(0.02) * (1 + 0.9410 / 2.7764)):.1%}.")
    assert sight_lines(make_results([])) == []


def test_what_will_be_seen_is_said_with_its_condition():
    assert " 10 processes: a difference of 1." in expectation(plan(processes=10, rounds=None))
    assert "One process does not show how processes differ" in expectation(plan(processes=1, rounds=None))
    assert expectation(plan()).startswith("It will take about ")
    assert " minutes in all. 10 processes" in expectation(plan(workloads=("large",), processes=10))
    assert all("docs/measurement.md" in expectation(plan(processes=p, rounds=12)) for p in (1, 4))

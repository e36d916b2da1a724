"""How many seeds the experiments take, and what is said where there are fewer."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from trigru.bench.results.grouping import grouped
from trigru.bench.training.experiments import EXPERIMENTS, get_experiment
from trigru.bench.training.record import load_record
from trigru.bench.training.study import STARTS
from trigru.bench.training.tables import seeds_wanted


def test_seeds_are_enough_that_tell_the_published_gains_from_chance_four_times_in_five():
    """Each of the two gains, as large as in docs/results/training.json and as different from seed to seed."""
    published = load_record(Path(__file__).parents[3] / "docs" / "results" / "training.json").runs
    runs = grouped(published, lambda run: (run.experiment, run.framework))
    seeds, found = np.arange(3, 101), {}
    for (name, framework), here in runs.items():
        score = {(run.start, run.seed): run.test_score for run in here}
        gains = [
            np.array([score[start.name, s] - score[STARTS[0].name, s] for s in range(20)]) for start in STARTS[1:]
        ]  # those of an error have the other sign, in which Student's t is the same
        effects = [abs(gain.mean() / gain.std(ddof=1)) for gain in gains]
        told = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, np.sqrt(seeds) * min(effects))
        found[name, framework] = next((n for n, share in zip(seeds, told, strict=True) if share >= 0.8), np.inf)
    for experiment in EXPERIMENTS:
        enough = max(n for (name, _), n in found.items() if name == experiment.name)
        assert (experiment.enough_seeds or np.inf) == enough, experiment.name


@pytest.mark.parametrize(
    ("names", "seeds", "said"),
    [
        (["sunspots-2"], 2, "2 seeds cannot give a verdict: an interval takes at least 3 seeds."),
        (["sunspots-2"], 6, "6 seeds are few for sunspots-2 (it takes 7): a gain as small as"),
        (["sunspots-2", "sunspots-8"], 11, None),
        (["vowels", "sunspots-2", "sunspots-32"], 20,
         "20 seeds are few for vowels (it takes 54), sunspots-32 (it takes more than 100): a gain as small as"),
    ],
)  # fmt: skip
def test_what_so_many_seeds_cannot_answer_is_said(names, seeds, said):
    found = seeds_wanted([get_experiment(name) for name in names], seeds)
    assert [sentence[: len(said or "")] for sentence in found] == ([said] if said else [])

"""The limits of a machine are the best that any process saw."""

from support.runs import make_arm, make_benchmark, make_results
from trigru.bench.analysis.rates import best_ceilings
from trigru.bench.results.run import Ceilings


def test_the_best_of_each_limit_counts():
    seen = [{"float32": Ceilings(100.0, 40.0, 2e-6)}, {"float32": Ceilings(90.0, 50.0, 1e-6)}]
    results = make_results([make_benchmark(make_arm("pure[jit]"), [1e-3, 1e-3], process=[0, 1])], ceilings=seen)
    assert best_ceilings(results, "float32") == Ceilings(100.0, 50.0, 1e-6)

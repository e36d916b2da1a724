"""Two models that are made alike are one to JAX: what is compiled for the first serves the second."""

import jax
import jax.numpy as jnp
import pytest
from jax.nn import initializers
from trigru.common.config import GRUConfig

CONFIGS = {
    "plain": GRUConfig(4, 8),
    "everything": GRUConfig(
        4, 8, dtype="bfloat16", unroll=2, remat=True, kernel="fused", carry_init=initializers.normal(0.1)
    ),
    "classifier": GRUConfig(4, 8, classes=3),
}
X = jnp.ones((2, 5, 4))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_models_made_alike_have_one_structure_and_one_trace(port, config):
    models = [port.make(config, jax.random.key(seed)) for seed in (0, 0, 1)]
    assert len({jax.tree.structure(model) for model in models}) == 1
    traces = []

    @jax.jit
    def run(model, x):
        traces.append(1)
        return port.apply(model, x) if config.classes is None else port.classify(model, x)

    for model in models:
        run(model, X)
    assert len(traces) == 1

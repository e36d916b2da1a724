"""The code that each call style shows for a train step trains a model."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.port.styles import available_styles
from trigru.impls import get_port

#: What a user has before the code: the model, and a train step in the same style.
RETURNS_ITS_MODEL = """
def train_step(tree, opt_state, x, targets):
    def loss_of(tree):
        return jnp.mean((predict(tree, x) - targets) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(tree)
    tree = jax.tree.map(lambda p, g: p - 0.1 * g, tree, gradients)
    return tree, opt_state, loss

def predict(tree, x):
    return {predicted}
"""
CHANGES_ITS_MODEL = """
def train_step(model, optimizer, x, targets):
    def loss_of(model):
        return jnp.mean((model(x) - targets) ** 2)

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss
"""
#: How a style that returns its model predicts with what crosses the jit boundary.
PREDICTED = {
    ("pure", "jit"): "x @ tree['w']",
    ("pure", "leaves"): "x @ structure.unflatten(tree)['w']",
    ("linen", "apply"): "module.apply({'params': tree}, x)",
    ("linen", "leaves"): "module.apply({'params': structure.unflatten(tree)}, x)",
    ("nnx", "pytree"): "tree(x)",
    ("nnx", "split-merge"): "nnx.merge(graphdef, tree, rest)(x)",
    ("nnx", "leaves"): "nnx.merge(graphdef, structure.unflatten(tree), rest)(x)",
    ("equinox", "filter_jit"): "jax.vmap(tree)(x)",
    ("equinox", "jit"): "jax.vmap(tree)(x)",
    ("equinox", "partition"): "jax.vmap(eqx.combine(tree, static))(x)",
    (
        "equinox",
        "leaves",
    ): "jax.vmap(eqx.combine(structure.unflatten(tree), static))(x)",
}
PREDICTED["pure", "donated"] = PREDICTED["pure", "jit"]
PREDICTED["linen", "donated"] = PREDICTED["linen", "apply"]
PREDICTED["nnx", "donated"] = PREDICTED["nnx", "split-merge"]
PREDICTED["equinox", "donated"] = PREDICTED["equinox", "partition"]

X = np.random.default_rng(0).normal(size=(16, 3)).astype("f4")
TARGETS = X @ np.ones((3, 2), "f4")


def model_names(port):
    """The names under which the code finds a model of a framework."""
    if port == "pure":
        return {"params": {"w": jnp.zeros((3, 2))}}
    if port == "linen":
        module = nn.Dense(2)
        return {"module": module, "params": module.init(jax.random.key(0), X)["params"]}
    if port == "nnx":
        model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
        return {"model": model, "optimizer": optimizer}
    return {"model": eqx.nn.Linear(3, 2, key=jax.random.key(0))}


STYLES = []
for port_name in ("pure", "linen", "nnx", "equinox"):
    for available in available_styles(get_port(port_name), "train_step"):
        if available.name != "train_state":  # its page has the whole program
            STYLES.append((port_name, available))


@pytest.mark.parametrize(
    ("port", "style"), STYLES, ids=lambda value: getattr(value, "name", value)
)
def test_the_code_of_a_train_step_trains(port, style):
    names = {"jax": jax, "jnp": jnp, "nnx": nnx, "eqx": eqx, "opt_state": ()}
    names |= model_names(port) | {"x": X, "targets": TARGETS}
    predicted = PREDICTED.get((port, style.name))
    program = CHANGES_ITS_MODEL
    if predicted is not None:
        program = RETURNS_ITS_MODEL.format(predicted=predicted)
    exec(program, names)
    exec(style.code_for("train_step"), names)
    first_loss = float(names["loss"])

    call_again = style.code_for("train_step").splitlines()[-1]
    for _ in range(5):
        exec(call_again, names)
    assert float(names["loss"]) < first_loss

"""Parts of Optax: optimizers, schedules and losses."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax

from ..observing import Example
from .catalogue import BATCH, UNITS, Catalogue, normal

parts = Catalogue("optax", "optax.losses", "optax.schedules", "optax.transforms")

WEIGHTS = {"kernel": normal(BATCH, UNITS), "bias": normal(UNITS)}
GRADIENT = {"kernel": normal(BATCH, UNITS, seed=1), "bias": normal(UNITS, seed=1)}
LOGITS = normal(BATCH, UNITS)
TARGETS = normal(BATCH, UNITS, seed=5)
PROBABILITIES = np.asarray(jax.nn.softmax(TARGETS))
LABELS = np.array([0, 3, 2])


def stepped(optimizer: Any, factors: Sequence[float] = (1.0, 2.0, 3.0)) -> Example:
    """The updates of each step of an optimizer, and state and weights after the last.

    Args:
        optimizer: of Optax.
        factors: how many times `GRADIENT` the gradient of each step is.
    """

    def run(_, weights, gradient):
        extended = optax.with_extra_args_support(optimizer)
        state = extended.init(weights)
        all_updates = []
        for factor in factors:
            scaled = jax.tree.map(lambda leaf, factor=factor: leaf * factor, gradient)
            updates, state = extended.update(scaled, state, weights, value=1.0)
            weights = optax.apply_updates(weights, updates)
            all_updates.append(updates)
        return all_updates, state, weights

    return Example(run, inputs=(WEIGHTS, GRADIENT))


@parts.row("SGD: momentum")
def sgd_with_momentum():
    return stepped(optax.sgd(0.1, momentum=0.9))


@parts.row("SGD: Nesterov's momentum")
def sgd_with_nesterov_momentum():
    return stepped(optax.sgd(0.1, momentum=0.9, nesterov=True))


@parts.row("Adam: three steps")
def adam():
    return stepped(optax.adam(1e-2))


@parts.row("AdamW: three steps")
def adamw():
    return stepped(optax.adamw(1e-2))


@parts.row("AdamW: no decay of biases")
def adamw_with_a_mask():
    mask = {"kernel": True, "bias": False}
    return stepped(optax.adamw(1e-2, weight_decay=0.5, mask=mask))


@parts.row("RMSProp: three steps")
def rmsprop():
    return stepped(optax.rmsprop(1e-2))


@parts.row("Lion: three steps")
def lion():
    return stepped(optax.lion(1e-2))


@parts.row("clipping: by the global norm, before SGD")
def clipping_by_global_norm():
    return stepped(optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1e-2)))


@parts.row("MultiSteps: an update every two gradients")
def gradients_accumulated():
    accumulated = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=2)
    return stepped(accumulated.gradient_transformation())


@parts.row("inject_hyperparams: a learning rate that is state")
def learning_rate_as_state():
    schedule = optax.linear_schedule(1.0, 0.0, 3)
    return stepped(optax.inject_hyperparams(optax.adam)(learning_rate=schedule))


@parts.row("apply_if_finite: a gradient that is no number")
def gradient_that_is_no_number():
    return stepped(optax.apply_if_finite(optax.sgd(0.1), 1), (1.0, np.nan, 2.0))


@parts.row("reduce_on_plateau: a loss that stays")
def reduced_on_plateau():
    return stepped(optax.contrib.reduce_on_plateau(0.5, patience=1))


@parts.row("multi_transform: one optimizer for each parameter")
def optimizer_for_each_parameter():
    optimizers: Any = {"train": optax.sgd(0.1), "freeze": optax.set_to_zero()}
    labels = {"kernel": "train", "bias": "freeze"}
    return stepped(optax.multi_transform(optimizers, labels))


@parts.call("schedules: the rates of some steps")
def schedules():
    schedules = {
        "exponential": optax.exponential_decay(0.1, 4, 0.5, staircase=True),
        "linear": optax.linear_schedule(0.1, 1.0, 5),
        "cosine": optax.cosine_decay_schedule(0.1, 10, alpha=0.2),
        "piecewise": optax.piecewise_constant_schedule(0.1, {3: 0.5, 6: 0.1}),
        "cosine after a warmup": optax.warmup_cosine_decay_schedule(0, 1, 3, 10, 0.2),
        "one cycle": optax.cosine_onecycle_schedule(10, 1.0),
        "joined": optax.join_schedules([optax.constant_schedule(1.0)] * 2, [4]),
    }
    rates = {}
    for name, schedule in schedules.items():
        rates[name] = [schedule(step) for step in (0, 1, 2, 3, 4, 6, 9, 12)]
    return rates


@parts.function("losses: squared error and Huber's", LOGITS, TARGETS)
def losses_of_numbers(outputs, targets):
    squared = optax.l2_loss(outputs, targets)
    return squared, optax.huber_loss(outputs, targets, delta=0.5)


@parts.function("loss: cross-entropy of probabilities", LOGITS, PROBABILITIES)
def cross_entropy(logits, probabilities):
    return optax.softmax_cross_entropy(logits, probabilities)


@parts.function("loss: cross-entropy of labels", LOGITS, LABELS)
def cross_entropy_of_labels(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@parts.call("loss: cross-entropy where a mask leaves nothing")
def cross_entropy_of_a_masked_row():
    where = np.ones_like(LOGITS, bool)
    where[1] = False
    return optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS, where=where)


@parts.function("loss: binary cross-entropy", LOGITS, PROBABILITIES)
def binary_cross_entropy(logits, probabilities):
    return optax.sigmoid_binary_cross_entropy(logits, probabilities)


@parts.function("losses: cosine similarity and KL divergence", LOGITS, PROBABILITIES)
def losses_of_directions(logits, targets):
    similarity = optax.cosine_similarity(logits, targets)
    return similarity, optax.kl_divergence(jax.nn.log_softmax(logits), targets)


@parts.mistake("mistake: an optimizer gets a gradient of another tree")
def gradient_of_another_tree():
    optimizer = optax.adam(1e-2)
    state = optimizer.init(WEIGHTS)
    optimizer.update({"kernel": GRADIENT["kernel"]}, state, WEIGHTS)

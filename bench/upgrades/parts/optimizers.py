"""Parts of Optax."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import B, H, Parts, called, named, normal, of_array, refused

GRADIENT = 1e-4 * normal(B, H, seed=1)
#: Of which all defaults but the learning rate are taken.
PLAIN = (
    *("adam", "adamw", "rmsprop", "lion", "adagrad", "adamax", "adamaxw", "nadam", "radam", "adabelief", "lamb"),
    *("adafactor", "novograd", "yogi", "amsgrad", "sgd", "adan", "lars", "fromage", "rprop", "sm3"),
)
FURTHER: Mapping[str, Callable[[], optax.GradientTransformation]] = {
    "sgd with momentum": lambda: optax.sgd(0.5, momentum=0.9),
    "sgd with Nesterov's momentum": lambda: optax.sgd(0.5, momentum=0.9, nesterov=True),
    "rmsprop with momentum": lambda: optax.rmsprop(1e-2, momentum=0.9, centered=True),
    "adam in half precision": lambda: optax.adam(1e-2, mu_dtype=jnp.bfloat16),
    "clip_by_global_norm": lambda: optax.clip_by_global_norm(1e-4),
    "clip": lambda: optax.clip(1e-4),
    "clip_by_block_rms": lambda: optax.clip_by_block_rms(1e-5),
    "adaptive_grad_clip": lambda: optax.adaptive_grad_clip(1e-5),
    "chain": lambda: optax.chain(optax.add_decayed_weights(0.1), optax.scale_by_adam(), optax.scale(-0.1)),
    "a schedule": lambda: optax.sgd(optax.cosine_decay_schedule(0.1, 10)),
    "MultiSteps": lambda: optax.MultiSteps(optax.sgd(0.1), 2).gradient_transformation(),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(1.0, 0.0, 3)),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.sgd(0.1), 2),
    "masked": lambda: optax.masked(optax.sgd(0.1), False),
    "multi_transform": lambda: optax.multi_transform({"a": optax.sgd(0.1), "b": optax.adam(0.1)}, "b"),
    "ema": lambda: optax.ema(0.9),
    "trace": lambda: optax.trace(0.9),
    "trace with Nesterov's momentum": lambda: optax.trace(0.9, nesterov=True),
    "adam with Nesterov's momentum": lambda: optax.adam(1e-2, nesterov=True, eps_root=1e-9),
    "ema without debias": lambda: optax.ema(0.9, debias=False),
    "centralize": optax.centralize,
    "keep_params_nonnegative": optax.keep_params_nonnegative,
    "zero_nans": optax.zero_nans,
}


def _trained(params: Any, gradient: Any) -> dict[str, Any]:
    """Two steps of each optimizer, and its state after them."""
    plain = {name: partial(named(f"optax.{name}"), 1e-2) for name in PLAIN if hasattr(optax, name)}
    return {name: _steps(make(), params, gradient) for name, make in {**plain, **FURTHER}.items()}


def _steps(optimizer: optax.GradientTransformation, params: Any, gradient: Any) -> Any:
    state = optimizer.init(params)
    for n in range(2):
        updates, state = optimizer.update(gradient * (1 + n), state, params)
        params = optax.apply_updates(params, updates)
    return params, jax.tree.leaves(state)


def _masked(params: Any, gradient: Any) -> Any:
    """A step in which one of two arrays decays."""
    transform = optax.adamw(1e-2, weight_decay=0.5, mask=[True, False])
    return transform.update([gradient] * 2, transform.init([params] * 2), [params] * 2)[0]


def _losses(a: Any, b: Any) -> dict[str, Any]:
    whole, share = np.array([0, 3, 2]), jax.nn.softmax(b)
    of_two = (*("l2_loss", "squared_error", "huber_loss", "log_cosh", "cosine_similarity", "cosine_distance"),)
    return {name: named(f"optax.{name}")(a, b) for name in of_two} | {
        "softmax_cross_entropy": optax.softmax_cross_entropy(a, share),
        "softmax_cross_entropy_with_integer_labels": optax.softmax_cross_entropy_with_integer_labels(a, whole),
        "sigmoid_binary_cross_entropy": optax.sigmoid_binary_cross_entropy(a, share),
        "hinge_loss": optax.hinge_loss(a, jnp.sign(b)),
        "kl_divergence": optax.kl_divergence(jax.nn.log_softmax(a), share),
        "smooth_labels": optax.smooth_labels(share, 0.1),
        "incremental_update": optax.incremental_update(a, b, 0.1),
    }


def _schedules(_: Any) -> dict[str, Any]:
    schedules = {
        "constant": optax.constant_schedule(0.1),
        "cosine_decay": optax.cosine_decay_schedule(0.1, 10, 0.2),
        "exponential_decay": optax.exponential_decay(0.1, 4, 0.5),
        "exponential_decay in stairs": optax.exponential_decay(0.1, 4, 0.5, staircase=True, transition_begin=1),
        "linear": optax.linear_schedule(0.1, 1.0, 5),
        "polynomial": optax.polynomial_schedule(0.1, 1.0, 2, 8),
        "piecewise_constant": optax.piecewise_constant_schedule(0.1, {3: 0.5, 6: 0.1}),
        "piecewise_interpolate": optax.piecewise_interpolate_schedule("cosine", 0.1, {3: 0.5, 6: 0.1}),
        "warmup_cosine_decay": optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 10),
        "warmup_exponential_decay": optax.warmup_exponential_decay_schedule(0.0, 1.0, 3, 4, 0.5),
        "onecycle": optax.cosine_onecycle_schedule(10, 1.0),
        "join": optax.join_schedules([optax.constant_schedule(1.0), optax.constant_schedule(2.0)], [4]),
    }
    counts = [0, 1, 2, 3, 4, 6, 9, 12]
    return {name: jnp.stack([jnp.asarray(f(count)) for count in counts]) for name, f in schedules.items()}


def _losses_with_options(a: Any, b: Any) -> dict[str, Any]:
    share = jax.nn.softmax(b)
    some = {
        "huber_loss": optax.huber_loss(3 * a, b, delta=0.5),
        "cosine_similarity": optax.cosine_similarity(a, b, epsilon=2.0),
        "softmax_cross_entropy along the first axis": optax.softmax_cross_entropy(a, share, axis=0),
        "sigmoid_focal_loss": optax.sigmoid_focal_loss(a, share, alpha=0.3, gamma=1.5),
        "kl_divergence_with_log_targets": optax.losses.kl_divergence_with_log_targets(a, b),
        "convex_kl_divergence": optax.losses.convex_kl_divergence(a, share),
    }
    return some | {"sum of squares": optax.global_norm([a, b]), "projected": optax.projections.projection_simplex(a[0])}


def _not_finite(params: Any, gradient: Any) -> dict[str, Any]:
    """What is done about gradients that are not finite: each parameter after every step, and the counts."""
    transform, found = optax.apply_if_finite(optax.sgd(0.1), 1), {}
    for factors in ((1.0, np.nan, 2.0), (np.inf, np.nan, np.nan)):
        state, now, steps = transform.init(params), params, []
        for factor in factors:
            updates, state = transform.update(gradient * factor, state, now)
            now = optax.apply_updates(now, updates)
            steps.append([now, *jax.tree.leaves(state)])
        found[f"gradients times {factors}"] = steps
    return found


def _trees(a: Any, b: Any) -> dict[str, Any]:
    """Arithmetic of trees."""
    x, y, tree = {"x": a, "y": [b]}, {"x": b, "y": [a]}, optax.tree
    return {
        "add": tree.add(x, y),
        "sub": tree.sub(x, y),
        "mul": tree.mul(x, y),
        "div": tree.div(x, y),
        "scale": tree.scale(2.0, x),
        "add_scale": tree.add_scale(x, 2.0, y),
        "where": [tree.where(flag, x, y) for flag in (True, False)],
        "clip": [tree.clip(x, -0.5, 1.0), tree.clip(x, None, 0.5), tree.clip(x, 0.1, None)],
        "norm": [tree.norm(x), tree.norm(x, squared=True)],
        "sum, vdot": [tree.sum(x), tree.vdot(x, y)],
        "like": [tree.zeros_like(x), tree.ones_like(x), tree.full_like(x, 3.0)],
        "update_moment": [tree.update_moment(x, y, 0.9, 2), tree.bias_correction(x, 0.9, jnp.asarray(3))],
    }


def _unknown_label() -> Any:
    transform = optax.partition({"a": optax.sgd(0.1)}, ["a", "b"])
    return transform.init([jnp.ones(H), jnp.ones(H)])


PARTS: Parts = {
    "optax": of_array(_trained, GRADIENT),
    "optax.adamw with a mask": of_array(_masked, GRADIENT),
    "optax with gradients that are not finite": of_array(_not_finite, GRADIENT),
    "optax losses": of_array(_losses, normal(B, H, seed=5)),
    "optax losses with options": of_array(_losses_with_options, normal(B, H, seed=5)),
    "optax schedules": of_array(_schedules),
    "optax.apply_updates in half precision": called(lambda: optax.apply_updates(jnp.ones(H, jnp.bfloat16), normal(H))),
    **({"optax.tree": of_array(_trees, normal(B, H, seed=7))} if hasattr(optax, "tree") else {}),
    "mistakes of optax": refused(label_without_transform=_unknown_label),
}

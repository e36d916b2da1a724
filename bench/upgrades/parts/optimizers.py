"""Parts of Optax."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..observing import Call, Example
from . import B, H, Lines, Rows, called, lines_of, normal, paths, rows

GRADIENT = 1e-4 * normal(B, H, seed=1)
TWO, INPUTS, STEPS = (
    [GRADIENT, GRADIENT[0]],
    (normal(B, H), GRADIENT),
    (0, 1, 2, 3, 4, 6, 9, 12),
)
HALVED, AFTER, SKIP_LARGE = (
    optax.scale(0.5),
    lambda n: n > 0,
    partial(optax.skip_large_updates, max_squared_norm=1e-6),
)
#: Of which all defaults but the learning rate are taken.
PLAIN = "adam adamw rmsprop lion adagrad nadam radam lamb adafactor sgd"
OPTIMIZERS = """
optax.sgd(0.5, momentum=0.9)
optax.sgd(0.5, momentum=0.9, nesterov=True)
optax.sgd(0.5, momentum=0.9, accumulator_dtype=jnp.bfloat16)
optax.rmsprop(1e-2, momentum=0.9, centered=True)
optax.adam(1e-2, mu_dtype=jnp.bfloat16)
optax.adamw(1e-2, mu_dtype=jnp.bfloat16)
optax.adam(1e-2, nesterov=True, eps_root=1e-9)
optax.clip_by_global_norm(1e-4)
optax.clip(1e-4)
optax.clip_by_block_rms(1e-5)
optax.adaptive_grad_clip(1e-5, eps=0.5)
optax.sgd(optax.cosine_decay_schedule(0.1, 10))
optax.MultiSteps(optax.sgd(0.1), 2, use_grad_mean=False).gradient_transformation()
optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(1.0, 0.0, 3))
optax.ema(0.9)
optax.ema(0.9, debias=False)
optax.zero_nans()
optax.multi_transform({"a": optax.set_to_zero(), "b": optax.identity()}, "a")
"""
HERE = Lines(globals())


def _steps(
    optimizer: Any, params: Any, gradient: Any, factors: tuple[float, ...]
) -> list[Any]:
    """The parameters and the optimizer's state after each step, whose gradient is so
    many times another.
    """
    update = optax.with_extra_args_support(optimizer).update
    state, found = optimizer.init(params), []
    for factor in factors:
        updates, state = update(
            jax.tree.map(lambda g, factor=factor: g * factor, gradient),
            state,
            params,
            value=1.0,
        )
        params = optax.apply_updates(params, updates)
        found.append((params, jax.tree.leaves(state)))
    return found


def _over_steps(line: str) -> Example:
    """What depends on several steps, as gradients that are not finite, or on parameters
    of two dtypes.
    """

    def steps(_: Any, params: Any, gradient: Any) -> list[Any]:
        two = [[array, array[0].astype(jnp.bfloat16)] for array in (params, gradient)]
        optimizer, (start, slope), factors = HERE.value(
            line, one=(params, gradient), two=two
        )
        return _steps(optimizer, start, slope, factors)

    return Example(steps, inputs=INPUTS)


def _trained(make: Callable[[], Any]) -> Example:
    """An optimizer after two steps, with its state."""
    return Example(
        lambda _, start, slope: _steps(make(), start, slope, (1.0, 2.0))[-1],
        inputs=INPUTS,
    )


def _state(make: Callable[[], Any]) -> Call:
    """The paths of the leaves of an optimizer's state."""
    return called(
        lambda: paths(jax.eval_shape(make().init, normal(B, H))), counted=False
    )


PLAINLY = HERE.each("optax", PLAIN)
MADE = {name: partial(make, 1e-2) for name, make in PLAINLY.items()}
MADE |= {line: partial(HERE.value, line) for line in lines_of(OPTIMIZERS)}
PARTS: Rows = {
    **{name: partial(_trained, make) for name, make in MADE.items()},
    **{f"state of {name}": partial(_state, make) for name, make in MADE.items()},
    **rows(_over_steps)("""
optax.apply_if_finite(optax.sgd(0.1), 1), one, (1.0, np.nan, 2.0)
optax.apply_if_finite(optax.sgd(0.1), 1), one, (np.inf, np.nan, np.nan)
optax.MultiSteps(optax.sgd(0.1), 2, should_skip_update_fn=optax.skip_not_finite), one, (1.0, np.nan, 2.0)
optax.contrib.reduce_on_plateau(0.5, patience=1, cooldown=2), one, (1.0,) * 8
optax.inject_hyperparams(optax.adam)(1e-2), two, (1.0,)
optax.lookahead(optax.sgd(0.1), 2, 0.3), (optax.LookaheadParams.init_synced(one[0]), one[1]), (1.0, 2.0, 3.0)
optax.adamw(1e-2, weight_decay=0.5, mask=[True, False]), two, (1.0,)
optax.chain(optax.clip_by_global_norm(1e-4), optax.adamw(1e-2)), two, (1.0,)
optax.MultiSteps(optax.adam(0.1), 3), one, (1.0, 2.0, 3.0, 4.0)
optax.MultiSteps(optax.sgd(0.1), lambda step: 1 + step), one, (1.0, 2.0, 3.0)
optax.MultiSteps(optax.sgd(0.1), 2, should_skip_update_fn=SKIP_LARGE), one, (1.0, 9.0, 2.0)
"""),
    **HERE.traced(a=normal(B, H), b=normal(B, H, seed=5))("""
optax.l2_loss(a, b), optax.squared_error(a, b), optax.log_cosh(a, b)
optax.huber_loss(a, b), optax.huber_loss(3 * a, b, delta=0.5)
optax.cosine_similarity(a, b), optax.cosine_similarity(a, b, epsilon=2.0), optax.cosine_distance(a, b)
optax.cosine_similarity(a, b, where=np.tri(B, H) > 0)
optax.softmax_cross_entropy(a, jax.nn.softmax(b)), optax.softmax_cross_entropy(a, jax.nn.softmax(b), axis=0)
optax.softmax_cross_entropy(b, jax.nn.softmax(a)), optax.safe_softmax_cross_entropy(b, jax.nn.softmax(a))
optax.softmax_cross_entropy_with_integer_labels(a, np.array([0, 3, 2]))
optax.sigmoid_binary_cross_entropy(a, jax.nn.softmax(b))
optax.sigmoid_focal_loss(a, jax.nn.softmax(b), alpha=0.3, gamma=1.5)
optax.hinge_loss(a, jnp.sign(b))
optax.kl_divergence(jax.nn.log_softmax(a), jax.nn.softmax(b)), optax.losses.kl_divergence_with_log_targets(a, b)
optax.smooth_labels(jax.nn.softmax(b), 0.1)
optax.incremental_update(a, b, 0.1)
[optax.periodic_update(a, b, jnp.asarray(n), 2) for n in (1, 2)]
"""),
    **rows(
        lambda line: Example(
            lambda _: jnp.stack([jnp.asarray(HERE.value(line)(n)) for n in STEPS])
        )
    )("""
optax.exponential_decay(0.1, 4, 0.5)
optax.linear_schedule(0.1, 1.0, 5)
optax.polynomial_schedule(0.1, 1.0, 2, 8)
optax.polynomial_schedule(0.1, 1.0, 2, 4, transition_begin=2)
optax.exponential_decay(0.1, 4, 0.5, staircase=True, transition_begin=1, end_value=0.04)
optax.linear_onecycle_schedule(10, 1.0)
optax.piecewise_constant_schedule(0.1, {3: 0.5, 6: 0.1})
optax.piecewise_interpolate_schedule("cosine", 0.1, {3: 0.5, 6: 0.1})
optax.warmup_exponential_decay_schedule(0.0, 1.0, 3, 4, 0.5)
optax.warmup_exponential_decay_schedule(0.0, 1.0, 2, 3, 0.5, 1, staircase=True, end_value=0.3)
optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 10, 0.2, exponent=2.0)
optax.cosine_onecycle_schedule(10, 1.0)
optax.sgdr_schedule([dict(init_value=0.1, peak_value=1.0, warmup_steps=2, decay_steps=4, end_value=0.2)] * 2)
optax.warmup_constant_schedule(0.1, 1.0, 3)
optax.join_schedules([optax.constant_schedule(1.0), optax.constant_schedule(2.0)], [4])
"""),
    **HERE.calls("""
optax.apply_updates(jnp.ones(6, jnp.bfloat16), normal(6)), optax.safe_increment(np.asarray([1, 2**31 - 1], "int32"))
optax.tree_map_params(optax.adam(1e-2), lambda a: a + 1, optax.adam(1e-2).init(TWO))
[of.update(TWO, of.init(TWO))[0] for of in [optax.masked(optax.sgd(0.1), lambda two: [a.ndim > 1 for a in two])]]
"""),
    "mistakes of optax": lambda: HERE.refused("""
optax.partition({"a": optax.sgd(0.1)}, ["a", "b"]).init([GRADIENT] * 2)
"""),
}

"""Parts of JAX and Optax that recurrent models are made of."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..functions import Called, Example
from . import B, D, H, Parts, T, donated, normal


def _of(function: Callable[..., Any], *inputs: Any) -> Callable[[], Example]:
    """A function of arrays, the first of which is differentiated."""
    return lambda: Example(function, normal(B, H), inputs)


def _drawn(draw: Callable[[Any], Any]) -> Callable[[], Example]:
    def make() -> Example:
        array = draw(jax.random.key(1))
        return Example(lambda a: a, array, drawn=array)

    return make


def _optimizer(optimizer: Callable[[], optax.GradientTransformation]) -> Callable[[], Example]:
    """Three steps, and the optimizer's state after them."""

    def steps(params: Any, gradient: Any) -> Any:
        transform = optimizer()
        state = transform.init(params)
        for n in range(3):
            updates, state = transform.update(gradient * (1 + n), state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    return _of(steps, 1e-4 * normal(B, H, seed=1))


def _masked(params: Any, gradient: Any) -> Any:
    """A step in which one of two arrays decays."""
    transform = optax.adamw(1e-2, weight_decay=0.5, mask=[True, False])
    return transform.update([gradient] * 2, transform.init([params] * 2), [params] * 2)[0]


def _recurrent(h: Any, x: Any) -> Any:
    return jnp.tanh(h + x @ h.T @ h), h


def _scan(remat: bool = False) -> Callable[[], Example]:
    step = jax.checkpoint(_recurrent) if remat else _recurrent
    return _of(lambda h, x: jax.lax.scan(step, h, x), normal(T, B, H))


PARTS: Parts = {
    "jax.nn.sigmoid": _of(jax.nn.sigmoid),
    "jnp.tanh": _of(jnp.tanh),
    "jnp.matmul": _of(jnp.matmul, normal(H, D)),
    "jax.lax.scan": _scan(),
    "jax.checkpoint": _scan(remat=True),
    "jax.vmap": _of(jax.vmap(lambda a, b: a @ b, in_axes=(0, None)), normal(H, D)),
    "jax.jit": lambda: Called(lambda ran: partial(jax.jit(ran(jnp.tanh)), normal(B, H))),
    "jax.jit with donation": lambda: Called(lambda ran: donated(jax.jit(ran(jnp.tanh), donate_argnums=0))),
    "jax.grad": _of(jax.grad(lambda a: jnp.sum(jnp.tanh(a) ** 2))),
    "orthogonal": _drawn(lambda key: jax.nn.initializers.orthogonal()(key, (H, H))),
    "lecun_normal": _drawn(lambda key: jax.nn.initializers.lecun_normal()(key, (D, H))),
    "glorot_uniform": _drawn(lambda key: jax.nn.initializers.glorot_uniform()(key, (D, H))),
    "jax.random.normal": _drawn(lambda key: jax.random.normal(key, (D, H))),
    "jax.random.uniform": _drawn(lambda key: jax.random.uniform(jax.random.split(key)[1], (D, H))),
    "optax.adam": _optimizer(lambda: optax.adam(1e-2)),
    "optax.adamw": _optimizer(lambda: optax.adamw(1e-2)),
    "optax.adamw with a mask": _of(_masked, 1e-4 * normal(B, H, seed=1)),
    "optax.apply_updates in half precision": lambda: Called(
        lambda _: lambda: optax.apply_updates(jnp.ones(H, jnp.bfloat16), normal(H))
    ),
    "optax.sgd": _optimizer(lambda: optax.sgd(0.5, momentum=0.9)),
    "optax.rmsprop": _optimizer(lambda: optax.rmsprop(1e-2)),
    "optax.lion": _optimizer(lambda: optax.lion(1e-2)),
    "optax.clip_by_global_norm": _optimizer(lambda: optax.clip_by_global_norm(1e-4)),
    "optax.cosine_decay_schedule": _optimizer(lambda: optax.sgd(optax.cosine_decay_schedule(0.1, 10))),
}
SIGNATURES = (
    *("jax.jit", "jax.lax.scan", "jax.checkpoint", "jax.vmap", "jax.grad", "jax.nn.initializers.orthogonal"),
    *("optax.adam", "optax.adamw", "optax.sgd", "optax.clip_by_global_norm", "optax.apply_updates"),
)

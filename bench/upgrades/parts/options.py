"""Parts of JAX with options that are not their defaults, and at inputs at which a derivative may go wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.scipy import special

from ..functions import kept_bytes
from . import B, D, H, Parts, T, called, drawn_by, named, normal, of_array

ACTIVATIONS = (
    *("relu", "relu6", "sigmoid", "softplus", "silu", "gelu", "elu", "selu", "celu", "leaky_relu", "log_sigmoid"),
    *("hard_tanh", "hard_sigmoid", "hard_silu", "softmax", "log_softmax", "logsumexp", "standardize", "glu", "mish"),
    *("soft_sign", "squareplus"),
)
#: Inputs at which a derivative has a corner, or a part of a function overflows, in float64, too.
EXTREMES = np.array([-1e3, -30.0, -3.0, -1.0, -1e-6, -0.0, 0.0, 1e-6, 1.0, 3.0, 30.0, 1e3], "float32")
SMOOTH = ("tanh", "exp", "expm1", "log1p", "sqrt", "abs", "square", "sinh", "arctan", "arcsinh", "sinc", "cbrt")
AT_EXTREMES: Mapping[str, Callable[[Any], Any]] = {
    "erf": special.erf,
    "log_ndtr": special.log_ndtr,
    "xlogy": lambda x: special.xlogy(x, x),
    "logaddexp": lambda x: jnp.logaddexp(x, -x),
    "hypot": lambda x: jnp.hypot(x, x),
    "arctan2": lambda x: jnp.arctan2(x, x),
    "power": lambda x: [x**0.5, x**2, x**3],
    "clip": lambda x: jnp.clip(x, -1.0, 1.0),
    "maximum": lambda x: jnp.maximum(x, 0.0),
    "norm": lambda x: [jnp.linalg.norm(x), jnp.linalg.norm(0 * x)],
    "max": lambda x: [jnp.max(x), jnp.max(0 * x), jnp.min(0 * x), jnp.prod(x), jnp.std(0 * x)],
}


def _at_extremes(_: Any, x: Any) -> dict[str, Any]:
    """Functions at extreme inputs, with their gradients there."""

    def both(function: Callable[[Any], Any]) -> Any:
        value, pull = jax.vjp(function, x)
        return value, *pull(jax.tree.map(jnp.ones_like, value))

    names = (*(f"jax.nn.{name}" for name in ACTIVATIONS), *(f"jax.numpy.{name}" for name in SMOOTH))
    functions = {name: named(name) for name in names} | dict(AT_EXTREMES)
    return {name: both(function) for name, function in functions.items()}


#: Which of the numbers of an array are looked at.
SOME = np.arange(B * H).reshape(B, H) % 3 > 0


def _with_options(a: Any, b: Any) -> dict[str, Any]:
    """Functions whose options are not their defaults."""
    heads, weights = a[None, :, None], (a @ b.T)[None, None]
    return {
        "where": [
            jnp.sum(a, 1, where=SOME, initial=2.0),
            jnp.mean(a, 0, where=SOME),
            jnp.var(a, 1, where=SOME, ddof=1),
        ],
        "max": [jnp.max(a, 1, where=SOME, initial=-0.5), jnp.argmax(a, 0, keepdims=True)],
        "cumulative": [jnp.cumsum(a, 0), jnp.cumprod(a, 1)],
        "softmax": [jax.nn.softmax(a, 0), jax.nn.softmax(a, where=SOME), jax.nn.log_softmax(a, 0)],
        "logsumexp": jax.nn.logsumexp(a, 0, b=b**2, keepdims=True),
        "standardize": jax.nn.standardize(a, 0, epsilon=0.1),
        "activations": [jax.nn.gelu(a, approximate=False), jax.nn.leaky_relu(a, 0.3), jax.nn.elu(a, 0.5)],
        "celu, glu": [jax.nn.celu(a, 2.0), jax.nn.glu(a, 1)],
        "attention": [
            jax.nn.dot_product_attention(heads, heads, heads, is_causal=True, scale=0.5),
            jax.nn.dot_product_attention(heads, heads, heads, weights, mask=np.tri(B, dtype=bool)[None, None]),
        ],
        "take": [jnp.take(a, 9, 1, mode="clip"), jnp.take(a, -9, 1, mode="wrap")],
        "get": a.at[9].get(mode="fill", fill_value=2.0),
        "at": [a.at[9].add(1.0, mode="clip"), a.at[np.array([0, 0])].add(b[:2]), a.at[1].min(0.1)],
        "pad": [jnp.pad(a, 1, mode) for mode in ("edge", "reflect", "symmetric", "wrap")],
        "one_hot": jax.nn.one_hot(np.array([0, 2]), 4, axis=0),
        "linspace": jnp.linspace(a[0], b[0], 3, endpoint=False),
        "quantile": [jnp.quantile(a, 0.3, 1, method=method) for method in ("lower", "nearest", "midpoint")],
        "nan": [jnp.nanmean(jnp.where(SOME, a, np.nan), 1), jnp.nan_to_num(jnp.where(SOME, a, np.nan), nan=7.0)],
        "sort": [jnp.sort(a, 0, descending=True), jnp.argsort(a, 1, descending=True)],
        "products": [jnp.tensordot(a, b, ((0, 1), (0, 1))), jnp.vdot(a, b), jnp.matmul(a[:, None], b[:, :, None])],
    }


def _policies() -> dict[str, Any]:
    """The bytes that each policy of `jax.checkpoint` keeps; both named values and both products have other sizes."""
    matrices, matrix, policies = normal(B, H, T), normal(T, D), jax.checkpoint_policies

    def forward(x: Any) -> Any:
        first = checkpoint_name(jnp.sin(jnp.einsum("bi,bij->bj", x, matrices)), "first")
        return jnp.sin(checkpoint_name(jnp.sin(first @ matrix), "second"))

    plain = ("everything_saveable", "nothing_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")
    of_names = ("save_only_these_names", "save_any_names_but_these", "save_anything_except_these_names")
    some = {name: getattr(policies, name) for name in plain}
    some |= {name: getattr(policies, name)("first") for name in of_names}
    both = policies.save_from_both_policies(policies.dots_saveable, some["save_only_these_names"])
    all_of_them = {**some, "save_from_both_policies": both}
    return {
        name: np.asarray(kept_bytes(jax.checkpoint(forward, policy=policy), [normal(B, H)]))
        for name, policy in all_of_them.items()
    }


def _initial_with_options(key: Any) -> dict[str, Any]:
    """On kernels of a convolution, whose receptive field counts."""
    make: Any = jax.nn.initializers.variance_scaling
    modes = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
    found = {mode: make(2.0, mode, "normal")(key, (3, D, H)) for mode in modes}
    batched = make(2.0, "fan_in", "uniform", batch_axis=0)(key, (B, D, H))
    return found | {"batched": batched, "orthogonal": jax.nn.initializers.orthogonal(column_axis=0)(key, (D, H))}


PARTS: Parts = {
    "jax functions at extreme inputs": of_array(_at_extremes, EXTREMES),
    "jax functions with options": of_array(_with_options, normal(B, H, seed=8)),
    "bytes kept by the policies of jax.checkpoint": called(_policies),
    "jax.nn.initializers with options": drawn_by(_initial_with_options),
}

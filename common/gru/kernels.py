"""Kernels by name, and the one that `auto` stands for."""

import math
import platform
from typing import Any

#: Scans the model's cell, in linen and Equinox the framework's own.
STOCK = "stock"
#: Runs `trigru.common.gru.fused`.
FUSED = "fused"
KERNELS = (STOCK, FUSED)
#: `fused` where it can be expected to train faster than a scan by hand, else `stock`.
AUTO = "auto"
#: What Python calls the processors that the rule was measured on.
MEASURED = ("x86_64", "AMD64")
#: From so many steps on, the kernel earns its work after the loop back.
ENOUGH_STEPS = 16
#: With fewer examples, a scan by hand spends its time on reading and writing gradients.
ENOUGH_EXAMPLES = 16


def is_fused(kernel: str, x: Any) -> bool:
    """Whether a model with this kernel computes by the fused one.

    The kernel is "stock", "fused" or "auto", and x are inputs (T, *batch, D) in the
    dtype of the computation. docs/kernel.md has the reasons for the rule of "auto".
    """
    if kernel != AUTO:
        return kernel == FUSED
    import jax  # names of kernels are read before JAX is

    if jax.default_backend() != "cpu" or platform.machine() not in MEASURED:
        return False
    if x.dtype != "float32":
        return False

    steps, *batch, _ = x.shape
    if not all(isinstance(size, int) for size in (steps, *batch)):
        return False  # symbolic sizes
    # without an axis of a batch, there may be one that `jax.vmap` maps
    has_few_examples = bool(batch) and math.prod(batch) < ENOUGH_EXAMPLES
    return steps >= ENOUGH_STEPS or has_few_examples

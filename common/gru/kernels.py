"""Kernels by name, and the one that `auto` stands for."""

from functools import cache
from pathlib import Path
from typing import Any

#: Scans the model's cell, in linen and Equinox the framework's own.
STOCK = "stock"
#: Runs `trigru.common.gru.fused`.
FUSED = "fused"
KERNELS = (STOCK, FUSED)
#: `fused` where that was measured to train no slower than the faster of two scans by
#: hand, else `stock`.
AUTO = "auto"
#: Vendors of processors on which the fused kernel's train step was nowhere slower than
#: the faster of two scans by hand, at 24 sizes in float32 (`bench/studies/kernel.py`;
#: docs/kernel.md has the table).
MEASURED = ("AuthenticAMD",)


def is_fused(kernel: str, dtype: Any) -> bool:
    """Whether a model with this kernel computes in a dtype by the fused one.

    The kernel is "stock", "fused" or "auto".
    """
    if kernel != AUTO:
        return kernel == FUSED
    import jax  # names of kernels are read before JAX is
    import jax.numpy as jnp

    if jax.default_backend() != "cpu" or jnp.dtype(dtype) != jnp.float32:
        return False
    return vendor() in MEASURED


@cache
def vendor() -> str:
    """The vendor of the processor, as Linux names it; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith("vendor_id"):
            return line.partition(":")[2].strip()
    return ""

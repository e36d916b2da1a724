"""Kernels by name, and the one that `auto` stands for."""

from functools import cache
from pathlib import Path
from typing import Any

#: The first scans the model's cell, in linen and Equinox the framework's own; the second is `trigru.common.gru.fused`.
STOCK, FUSED = KERNELS = ("stock", "fused")
#: `fused` where that was measured to train no slower than the faster of two scans by hand, else `stock`.
AUTO = "auto"
#: Vendors of processors on which the fused kernel's train step was nowhere slower than the faster of two scans by hand,
#: at 24 sizes in float32 (`bench/studies/kernel.py`; docs/kernel.md has the table).
MEASURED = ("AuthenticAMD",)


def is_fused(kernel: str, dtype: Any) -> bool:
    """Whether a model with a kernel, "stock", "fused" or "auto", computes in a dtype by the fused one."""
    if kernel != AUTO:
        return kernel == FUSED
    import jax  # names of kernels are read before JAX is
    import jax.numpy as jnp

    return (
        jax.default_backend() == "cpu"
        and jnp.dtype(dtype) == jnp.float32
        and vendor() in MEASURED
    )


@cache
def vendor() -> str:
    """The vendor of the processor, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next(
        (
            line.partition(":")[2].strip()
            for line in lines
            if line.startswith("vendor_id")
        ),
        "",
    )

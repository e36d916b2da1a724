"""The configuration of a GRU: sizes, dtypes, kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .errors import InputError, either

#: The dtypes in which a model computes and stores its parameters.
DTYPES = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class GRUConfig:
    """Everything that a port needs to build a model.

    Args:
        input_size: D, features of one input frame.
        hidden_size: H, units.
        dtype: dtype of the computation, by its name or as JAX has it; None means that
            of inputs, parameters and a passed carry, promoted.
        param_dtype: dtype in which parameters are stored. A config keeps the names of
            both.
        kernel: "stock" scans the model's cell, in linen and Equinox the framework's;
            "fused" runs `common.gru.fused`.
        unroll: steps in one iteration of the compiled loop.
        remat: recompute the gates in the backward pass instead of keeping them.
        carry_init: a JAX initializer for the initial carry; None means learned zeros,
            other than in a port's own class, where it means zeros that are not learned.

    Raises:
        InputError: a size is below 1, a dtype is not a floating-point one, remat is no
            bool, or carry_init cannot be called.

    >>> GRUConfig(input_size=20, hidden_size=200).hidden_size
    200
    """

    input_size: int
    hidden_size: int
    dtype: str | None = None
    param_dtype: str = "float32"
    kernel: str = "stock"
    unroll: int = 1
    remat: bool = False
    carry_init: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        sizes = {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "unroll": self.unroll,
        }
        check_fields(
            remat=self.remat, dtype=self.dtype, param_dtype=self.param_dtype, **sizes
        )
        if self.carry_init is not None and not callable(self.carry_init):
            kind = type(self.carry_init).__name__
            raise InputError(
                f"carry_init is a {kind}, expected a JAX initializer (key, shape, "
                "dtype) -> array."
            )
        for name, size in sizes.items():
            object.__setattr__(self, name, int(size))
        for name in ("dtype", "param_dtype"):
            object.__setattr__(self, name, _name_of(getattr(self, name)))

    def model_options(self) -> dict[str, Any]:
        """The keyword arguments of a port's class beside its sizes."""
        import jax

        return {
            "carry_init": self.carry_init or jax.nn.initializers.zeros,
            "param_dtype": jax.numpy.dtype(self.param_dtype),
            "dtype": self.dtype,
            "unroll": self.unroll,
            "remat": self.remat,
            "kernel": self.kernel,
        }


def check_fields(
    *, remat: Any = False, dtype: Any = None, param_dtype: Any = "float32", **sizes: Any
) -> None:
    """Raise InputError unless a model can have these fields.

    Sizes are passed under the names that the model has for them.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise InputError(
                f"{name} is {size!r}, expected a whole number of at least 1."
            )
    if not isinstance(remat, bool):
        raise InputError(f"remat is {remat!r}, expected True or False.")
    if dtype is not None:
        _check_dtype("dtype", dtype)
    _check_dtype("param_dtype", param_dtype)


def _check_dtype(name: str, dtype: Any) -> None:
    if _name_of(dtype) in DTYPES:
        return
    shown = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", dtype)
    raise InputError(
        f"{name} is {shown!r}, expected a floating-point dtype: {either(DTYPES)}."
    )


def _name_of(dtype: Any) -> str | None:
    """The name of a dtype that JAX has, in this machine's byte order; else None."""
    import jax  # here, so that the oracle can be imported without JAX

    if dtype is None or isinstance(dtype, jax.Array):  # whose own dtype JAX would take
        return None
    try:
        known = jax.numpy.dtype(dtype)
    except (TypeError, ValueError):
        return None
    return known.name if known.isnative else None

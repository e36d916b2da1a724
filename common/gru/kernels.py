"""Kernels by name, and the choices that a name may hold."""

from dataclasses import dataclass, field, fields
from typing import Any

from ..config import check_flag, check_sizes
from ..errors import InputError

#: The kernel that scans the framework's own cell.
STOCK = "stock"

SAVED = ("all", "some", "none")


@dataclass(frozen=True)
class FusedKernel:
    """How the kernel runs; what it computes does not depend on it.

    Args:
        save: gates kept for the backward pass: "all"; "some", r and z, so that a third of the products is computed
            again; or "none", only the state at the start of each chunk, so that each chunk is computed again.
        hoist: multiply the inputs of a chunk by their weights at once, before its loop, instead of in it.
        chunk: steps after which weight gradients are added up; None for all steps, or, where nothing is saved, for the
            square root of their number.
        unroll: steps in one iteration of the compiled loop; None for the model's.

    Raises:
        InputError: a value that is none of these.

    >>> FusedKernel(save="most")
    Traceback (most recent call last):
    trigru.common.errors.InputError: save is 'most', expected one of all, some, none.
    """

    save: str = "all"
    hoist: bool = False
    chunk: int | None = None
    unroll: int | None = None

    def __post_init__(self) -> None:
        if self.save not in SAVED:
            raise InputError(f"save is {self.save!r}, expected one of {', '.join(SAVED)}.")
        check_flag(hoist=self.hoist)
        check_sizes(**{name: size for name in ("chunk", "unroll") if (size := getattr(self, name)) is not None})


_CHOICES = [field.name for field in fields(FusedKernel)]
_EXPECTED = f"expected stock, fused, or fused with some of {', '.join(_CHOICES)}, as in fused@save=none,chunk=16."


@dataclass(frozen=True)
class Kernel:
    """A kernel with the choices that were made for it.

    Args:
        name: "stock", "fused", or the name of a third-party port's own kernel.
        choices: fields of FusedKernel that were chosen; the others have their defaults.

    >>> str(Kernel("fused", {"save": "none", "chunk": 16}))
    'fused@save=none,chunk=16'
    """

    name: str = STOCK
    choices: dict[str, bool | int | str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As users write it."""
        choices = ",".join(f"{name}={str(value).lower()}" for name, value in self.choices.items())
        return f"{self.name}@{choices}" if choices else self.name

    @property
    def is_stock(self) -> bool:
        """Whether it scans the framework's own cell."""
        return self.name == STOCK


def parse_kernel(text: str) -> Kernel:
    """A kernel from the name that users write: "stock", or "fused", with choices as in "fused@save=none,chunk=16".

    Raises:
        InputError: a choice that the fused kernel does not know, or a choice for a kernel that has none.

    >>> parse_kernel("fused@hoist=true")
    Kernel(name='fused', choices={'hoist': True})
    """
    if not isinstance(text, str):
        raise InputError(f"kernel is a {type(text).__name__}, expected a name: stock, or fused.")
    name, _, rest = text.partition("@")
    choices: dict[str, Any] = {}
    for choice in rest.split(",") if "@" in text else ():
        key, _, value = choice.partition("=")
        if key in choices:
            raise InputError(f"kernel is {text!r}, which says {key} twice.")
        number: Any = int(value) if value.isascii() and value.isdecimal() else value
        choices[key] = {"true": True, "false": False}.get(value, number)
    if choices and (name != "fused" or not set(choices) <= set(_CHOICES)):
        raise InputError(f"kernel is {text!r}, {_EXPECTED}")
    FusedKernel(**choices)  # refuses values that are none of its own
    return Kernel(name, {name: choices[name] for name in _CHOICES if name in choices})


def fused_kernel(kernel: str, *, remat: bool = False) -> FusedKernel | None:
    """How the fused kernel is to run, from the name that a model was given; None for "stock".

    Args:
        kernel: as in `parse_kernel`.
        remat: save nothing, whatever the name says.

    Raises:
        InputError: another name.

    >>> fused_kernel("fused@save=none,chunk=16")
    FusedKernel(save='none', hoist=False, chunk=16, unroll=None)
    """
    found = parse_kernel(kernel)
    if found.is_stock:
        return None
    if found.name != "fused":
        raise InputError(f"kernel is {kernel!r}, {_EXPECTED}")
    choices: Any = found.choices | ({"save": "none"} if remat else {})
    return FusedKernel(**choices)

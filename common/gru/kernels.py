"""Kernels by name, and the choices that a name may hold."""

from dataclasses import dataclass, fields, replace
from typing import Any

from ..config import check_flag, check_sizes
from ..errors import InputError

__all__ = ["STOCK", "FusedKernel", "parse_kernel"]

#: The kernel that scans the framework's own cell.
STOCK = "stock"

SAVED = ("all", "some", "none")


@dataclass(frozen=True)
class FusedKernel:
    """How the kernel runs; what it computes does not depend on it.

    Args:
        save: gates kept for the way back: "all"; "some", r and z, so that a third of the products is done again; or
            "none", only the state at the start of each chunk, so that all is done again, chunk by chunk.
        hoist: multiply the inputs of a chunk by their weights at once, before its loop, instead of in it.
        chunk: steps after which weight gradients are added up; None for all steps, or, where nothing is saved, for the
            square root of their number.
        unroll: steps in one iteration of the compiled loop; None for what the model says.

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


def parse_kernel(name: str, *, remat: bool = False) -> FusedKernel | None:
    """The choices in a kernel's name; None for "stock".

    Args:
        name: "stock", "fused", or the latter with choices, as in "fused@save=none,chunk=16".
        remat: save nothing, whatever the name says.

    Raises:
        InputError: another name.

    >>> parse_kernel("fused@save=none,chunk=16")
    FusedKernel(save='none', hoist=False, chunk=16, unroll=None)
    """
    if name == STOCK:
        return None
    if not isinstance(name, str):
        raise InputError(f"kernel is a {type(name).__name__}, expected a name: stock, or fused.")
    base, _, rest = name.partition("@")
    given: dict[str, Any] = {}
    for choice in rest.split(",") if "@" in name else ():
        key, _, text = choice.partition("=")
        if key in given:
            raise InputError(f"kernel is {name!r}, which says {key} twice.")
        value: Any = int(text) if text.isascii() and text.isdecimal() else text
        given[key] = {"true": True, "false": False}.get(text, value)
    known = [field.name for field in fields(FusedKernel)]
    if base != "fused" or not set(given) <= set(known):
        raise InputError(
            f"kernel is {name!r}, expected stock, fused, or fused with some of {', '.join(known)}, as in "
            "fused@save=none,chunk=16."
        )
    found = FusedKernel(**given)
    return replace(found, save="none") if remat else found

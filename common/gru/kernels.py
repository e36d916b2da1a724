"""Kernels by name."""

from dataclasses import dataclass, field

#: The first scans the framework's own cell, the second is `trigru.common.gru.fused`.
STOCK, FUSED = KERNELS = ("stock", "fused")


@dataclass(frozen=True)
class Kernel:
    """A kernel as runs record it.

    Args:
        name: "stock", "fused", or the name of a third-party port's own kernel.
        choices: variants of the fused kernel that were timed by earlier versions.
    """

    name: str = STOCK
    choices: dict[str, bool | int | str] = field(default_factory=dict)

    def __str__(self) -> str:
        choices = ",".join(f"{name}={str(value).lower()}" for name, value in self.choices.items())
        return f"{self.name}@{choices}" if choices else self.name

    @property
    def is_stock(self) -> bool:
        """Whether it scans the framework's own cell."""
        return self.name == STOCK


def parse_kernel(text: str) -> Kernel:
    """The kernel that `str` wrote.

    >>> parse_kernel("fused")
    Kernel(name='fused', choices={})
    """
    name, _, rest = text.partition("@")
    pairs = (choice.partition("=") for choice in rest.split(",") if choice)
    return Kernel(
        name, {key: int(v) if v.isdecimal() else {"true": True, "false": False}.get(v, v) for key, _, v in pairs}
    )

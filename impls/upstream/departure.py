"""What a departure is."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from packaging.version import Version


@dataclass(frozen=True)
class Departure:
    """A place where a framework's own part does something else than the contract."""

    name: str  # stable
    part: str  # the framework's name for it
    package: str  # the distribution that it comes from
    what: str  # it does, in a sentence
    evidence: Callable[[], str | None]  # runs it; returns what was seen, or None where it no longer departs
    checks: tuple[str, ...] = ()  # of `trigru.common.equality.checks`, those that fail for this reason
    fixed_in: str | None = None  # the version of the package in which it is gone; None while none is known
    source: str = ""  # where it is reported or documented

    @property
    def expected(self) -> bool:
        """Whether it is on record for the installed version."""
        return self.fixed_in is None or Version(version(self.package)) < Version(self.fixed_in)


def lacks(keyword: str, function: Callable[..., object]) -> Callable[[], str | None]:
    """Evidence that a function has no such argument."""

    def evidence() -> str | None:
        if keyword in inspect.signature(function).parameters:
            return None
        return f"{function.__qualname__} has no argument {keyword}"

    return evidence

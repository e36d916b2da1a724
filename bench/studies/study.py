"""What a study is. Adding a study is adding a row to `STUDIES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ...common.errors import TrigruError, UnknownNameError
from . import devices, parameters
from .program import comparison
from .record import Shown


class NotEqualArmsError(TrigruError):
    """Arms that should compute the same do not, so none is timed."""


@dataclass(frozen=True)
class Compiled:
    """A jitted function with its arguments: an arm, as `trigru.bench.timing.sampling` takes it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    slowed: float = 0.0

    def call(self) -> Any:
        """Start a call."""
        return self.function(*self.arguments)

    def wait(self, outputs: Any) -> Any:
        """Block until outputs are ready."""
        return jax.block_until_ready(outputs)


@dataclass(frozen=True)
class Study:
    """Arms that compute the same, to be timed against each other.

    Args:
        settings: short -> what the arms are made of; short is a first look with less work.
        show: settings -> what was shown of the arms, and numbers by update that are equal. It may set jax_enable_x64.
        arms: settings -> by name, a function that returns a jitted function and its arguments; the first is the
            baseline. They are made in another order in each process.
        packages: distributions that matter, beside those that always do.
        read: settings -> by name of an arm, what was read of its program.
    """

    name: str
    settings: Callable[[bool], dict[str, Any]]
    show: Callable[[dict[str, Any]], tuple[list[Shown], dict[str, list[float]]]]
    arms: Callable[[dict[str, Any]], dict[str, Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]]]
    packages: tuple[str, ...] = ()
    read: Callable[[dict[str, Any]], dict[str, list[str]]] = lambda settings: {}


STUDIES = (
    Study("parameters", parameters.settings, parameters.show, parameters.arms),
    Study("devices", devices.settings, devices.show, devices.arms, read=devices.read),
    Study("program", comparison.settings, comparison.show, comparison.arms, ("gymnax",)),
)


def get_study(name: str) -> Study:
    """A study by name. Raises an UnknownNameError."""
    for study in STUDIES:
        if study.name == name:
            return study
    raise UnknownNameError("study", name, [study.name for study in STUDIES])


def checked(shown: list[Shown]) -> list[Shown]:
    """What was shown, if it all holds. Raises a NotEqualArmsError."""
    for found in shown:
        if not found.error <= found.bound:  # also if it is NaN
            raise NotEqualArmsError(f"{found.what}: {found.error:.2g} apart, at most {found.bound:.2g} passes.")
    return shown

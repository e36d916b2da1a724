"""The errors that trigru raises on purpose.

Each message says what was expected, what came, and what to do. Catch `TrigruError` for all of them.
"""

from collections.abc import Iterable, Mapping


class TrigruError(Exception):
    """Base of every error that trigru raises on purpose."""


class InputError(TrigruError, ValueError):
    """An array, size or option that the model cannot work with."""


class Argument(str):
    """An argument by the name that it has in a call, as `layout=`, in the message of an `ArgumentError`."""

    __slots__ = ()


class ArgumentError(InputError):
    """An argument that is missing, or that does not go with the others.

    >>> error = ArgumentError("Choose one with ", Argument("layout="), ".")
    >>> str(error), error.named({"layout=": "--to"})
    ('Choose one with layout=.', 'Choose one with --to.')
    """

    def __init__(self, *parts: str):
        super().__init__("".join(parts))
        self.parts = parts

    def named(self, names: Mapping[str, str]) -> str:
        """The message with other names for arguments, as a command line has them."""
        return "".join(names.get(part, part) if isinstance(part, Argument) else part for part in self.parts)


class NotOfferedError(TrigruError, NotImplementedError):
    """Something of the contract that a port doesn't have: a check that needs it counts as not offered, not as wrong."""


class DefectError(TrigruError, AssertionError):
    """What a check found wrong with a port where there are no arrays to compare: the check has failed."""


class ParamsFileError(TrigruError, ValueError):
    """A parameter file that is truncated, malformed or holds values no model could use."""


class UnknownNameError(TrigruError, LookupError):
    """A port, call style, workload or phase that does not exist."""

    def __init__(self, kind: str, name: str, known: list[str]):
        super().__init__(f"unknown {kind} {brief(repr(name))}. Known: {', '.join(known)}.")


class UnavailableError(TrigruError, ImportError):
    """A port or call style that exists, but does not work with the packages that are installed."""


def either(names: Iterable[str]) -> str:
    """Names to choose from.

    >>> either(["linen", "nnx", "torch"]), either(["nnx"])
    ('linen, nnx or torch', 'nnx')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def listed(names: Iterable[str]) -> str:
    """Names that all count.

    >>> listed(["make", "load", "dump"]), listed(["step"])
    ('make, load and dump', 'step')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def brief(error: object) -> str:
    """What an error says, in one line that is not too long.

    >>> brief(ValueError("a\\n  b")), len(brief("x" * 1000))
    ('a b', 301)
    """
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"

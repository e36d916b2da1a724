"""The errors that trigru raises on purpose.

Each message says what was expected, what came, and what to do. Catch `TrigruError` for
all of them.
"""

import json
import unicodedata
from collections.abc import Iterable
from importlib import metadata
from urllib.parse import unquote, urlsplit

#: Categories of characters that are not seen, or are none.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class TrigruError(Exception):
    """Base of every error that trigru raises on purpose."""


class InputError(TrigruError, ValueError):
    """An array, size or option that the model cannot work with."""


class NotOfferedError(TrigruError, NotImplementedError):
    """A part of the contract that a port doesn't have.

    A check that needs it counts as not offered, and not as failed.
    """


class UnjudgedError(TrigruError):
    """A question that has no answer, as of two files that cannot be compared.

    A command ends with exit code 125.
    """


class DefectError(TrigruError, AssertionError):
    """A fault of a port, by which a check has failed without comparing arrays."""


class ParamsFileError(TrigruError, ValueError):
    """A file of parameters that is damaged, or holds values that no model can use."""


class UnknownNameError(TrigruError, LookupError):
    """A port, call style, workload or phase that does not exist."""

    def __init__(self, kind: str, name: str, known: list[str]):
        super().__init__(
            f"unknown {kind} {brief(repr(name))}. Known: {', '.join(known)}."
        )


class UnavailableError(TrigruError, ImportError):
    """A port, call style or file format for which the right packages are missing.

    It exists, but does not work with the packages that are installed.
    """


#: The extra of trigru that brings a module; what all ports and `trigru port` need comes
#: without one.
EXTRAS = {
    "equinox": "equinox",
    "filelock": "bench",
    "flax": "flax",
    "jinja2": "bench",
    "markupsafe": "bench",
    "matplotlib": "bench",
    "msgspec": "bench",
    "packaging": "bench",
    "platformdirs": "bench",
    "pytest_benchmark": "bench",
    "tabulate": "bench",
    "torch": "torch",
}


def what_to_install(error: BaseException) -> str | None:
    """A sentence that says what to install, if a module of an extra is missing.

    It is None for any other error.

    >>> what_to_install(ModuleNotFoundError("No module named 'mine'", name="mine"))
    """
    if not isinstance(error, ModuleNotFoundError) or error.name not in EXTRAS:
        return None
    command = install_command(EXTRAS[error.name], _direct_url())
    return f"{error.name} is not installed. To install it, run: {command}"


def install_command(extra: str, direct_url: str | None) -> str:
    """The command that adds an extra to the trigru that is installed.

    Args:
        extra: its name.
        direct_url: what `direct_url.json` of an installed package says, by which
            installers record where it is from; None if there is no such file.

    >>> install_command("bench", None)
    'pip install ".[bench]" (in a clone of trigru)'
    >>> install_command("bench", '{"url": "file:///clone", "dir_info": {}}')
    'pip install "trigru[bench] @ file:///clone"'
    """
    source = {} if direct_url is None else json.loads(direct_url)
    url = source.get("url")
    if url is None:
        return f'pip install ".[{extra}]" (in a clone of trigru)'

    if source.get("dir_info", {}).get("editable"):
        folder = unquote(urlsplit(url).path)
        return f'pip install --editable "{folder}[{extra}]"'
    vcs = source.get("vcs_info")
    if vcs is not None:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f'pip install "trigru[{extra}] @ {url}"'


def _direct_url() -> str | None:
    """The text of `direct_url.json` of the trigru that is installed, if it has one."""
    # in a clone, the folder of its build is found, too, which has none
    for distribution in metadata.distributions(name="trigru"):
        text = distribution.read_text("direct_url.json")
        if text is not None:
            return text
    return None


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names, with a word before the last.

    >>> listed(["make", "load", "dump"]), listed(["step"])
    ('make, load and dump', 'step')
    """
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def either(names: Iterable[str]) -> str:
    """Names to choose from, with "or" before the last."""
    return listed(names, "or")


def for_terminal(text: str) -> str:
    r"""Text with what would control a terminal written as escape sequences.

    Those are control characters, and characters that change the direction of text.

    >>> for_terminal("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    return "".join(escape(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def escape(character: str) -> str:
    r"""A character as Python writes it in ASCII: a line break is \n."""
    return character.encode("unicode_escape").decode()


def brief(error: object) -> str:
    r"""An error's message, shortened to one line that a terminal shows as it is.

    >>> brief(ValueError("a\n  b\x1b")), len(brief("x" * 1000))
    ('a b\\x1b', 301)
    """
    text = " ".join(str(error).split())
    shown = for_terminal(text[:300])
    return f"{shown}…" if len(text) > 300 else shown

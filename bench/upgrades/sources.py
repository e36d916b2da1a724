"""The source files of installed packages: other code under the same version is a fact, under another version a lead.

A release that was edited where it is installed, or built again with a patch, has the version of the release. A snapshot
runs a part of each package; the rest may be what was changed, so that the files themselves are compared.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from itertools import takewhile
from pathlib import Path

import numpy as np

from .files import Kept, Read
from .record import Change, Source
from .versions import installed

#: The packages whose files are compared: the frameworks, and what they compute with and store by.
PACKAGES = ("jax", "flax", "equinox", "optax", "orbax-checkpoint", "chex", "ml-dtypes", "jaxtyping", "msgpack")
#: Folders whose files nobody imports.
LEFT_OUT = {"tests", "benchmarks"}
#: Files that hold the version, alone or in so many lines.
OF_RELEASES, OF_VERSION = {"version.py", "_version.py"}, 2
#: The hash of a file's content, and of each of its lines.
_File = tuple[int, bytes]


def sources_of(packages: Iterable[str], kept: Kept) -> dict[str, Source]:
    """The Python files of `PACKAGES` that some packages require, without their tests.

    What is installed from a folder, a commit or a file is left out: its code may change under one version.
    """
    found: dict[str, Source] = {}
    for name, version in installed(packages).items():
        if name not in PACKAGES or " " in version:
            continue
        files, lines = {}, bytearray()
        for file in sorted(distribution(name).files or (), key=str):
            path = Path(str(file.locate()))
            if file.suffix == ".py" and not LEFT_OUT & {*file.parts} and path.is_file():
                content = path.read_bytes()
                hashes = bytes(zlib.crc32(line) & 0xFF for line in content.split(b"\n"))
                files[str(file)] = (zlib.crc32(content), len(hashes))
                lines += hashes
        found[name] = Source(files, kept.keep(np.frombuffer(bytes(lines), np.uint8)))
    return found


def edited(old: Read, new: Read) -> Iterator[Change]:
    """A change for each file that a package has otherwise under the same version, at the first line that differs."""
    for name, places in _differing(old, new, same_version=True).items():
        for place in places:
            yield Change("code", name, "other code under the same version", "", place, place)


def unnamed(old: Read, new: Read, found: Iterable[Change]) -> dict[str, list[str]]:
    """The files that another version of a package has otherwise and no change names: what nothing here may have run.

    Those that computed something here come first.
    """
    named = " ".join(f"{change.what} {change.new} {change.line}" for change in found)
    run = {line.partition(":")[0] for s in new[0].subjects for trail in s.trails.values() for line in trail.lines}
    left: dict[str, list[str]] = {}
    for name, places in _differing(old, new, same_version=False).items():
        files = {place: re.split(r":\d| \(", place)[0] for place in places}
        rest = [place for place, file in files.items() if file not in named]
        left[name] = sorted(rest, key=lambda place: files[place] not in run)
    return {name: places for name, places in left.items() if places}


def _differing(old: Read, new: Read, *, same_version: bool) -> dict[str, list[str]]:
    """The first line that differs of each file, by package, of the packages with the same or another version."""
    versions, found = [snapshot.machine.versions for snapshot, _ in (old, new)], {}
    for name in sorted(old[0].sources.keys() & new[0].sources.keys()):
        if (versions[0].get(name) == versions[1].get(name)) == same_version:
            was, now = (_files(read, name) for read in (old, new))
            other = [file for file in sorted(was.keys() | now.keys()) if was.get(file) != now.get(file)]
            found[name] = [_place(file, was, now) for file in other if same_version or not _is_version(file, was, now)]
    return found


def _is_version(file: str, was: dict[str, _File], now: dict[str, _File]) -> bool:
    """Whether what differs in a file is the version of its package, as far as the number of lines tells."""
    if Path(file).name in OF_RELEASES:
        return True
    if not re.fullmatch("[^/]+/__init__.py", file) or file not in was or file not in now:
        return False
    old, new = was[file][1], now[file][1]
    return len(old) == len(new) and sum(a != b for a, b in zip(old, new, strict=True)) <= OF_VERSION


def _files(read: Read, name: str) -> dict[str, _File]:
    source, at, files = read[0].sources[name], 0, {}
    lines = read[1][source.lines].tobytes()
    for file, (whole, number) in source.files.items():
        files[file] = (whole, lines[at : at + number])
        at += number
    return files


def _place(file: str, was: dict[str, _File], now: dict[str, _File]) -> str:
    """The first line of a file that differs, as "optax/losses/_regression.py:64"."""
    if file not in now or file not in was:
        return f"{file} ({'is gone' if file in was else 'is new'})"
    old, new = was[file][1], now[file][1]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    if same == max(len(old), len(new)):  # by chance, the other line has the same hash
        return file
    return f"{file}:{min(same + 1, len(new))}"

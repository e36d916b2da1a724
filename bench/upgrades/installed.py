"""What is installed: versions of packages, and their source files.

A release that was edited where it is installed has the version of the release, and a snapshot runs a part of it alone:
so files are compared. Other code under the same version is a fact, under another version a lead.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from itertools import zip_longest
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ...common.equality.measurement import Measurement
from ..results.files import command_line
from ..results.grouping import grouped
from ..timing.machine import describe_machine
from .record import SCHEMA, Change, Kept, Read, Snapshot, Source, Subject

EXTRAS = ("bench", "equinox", "flax")  # of trigru, which its commands need
LOCAL = ", of a local file"  # of a version, where a distribution was installed from a wheel or an archive
#: The packages whose files are compared: the frameworks, and what they compute with and store by.
PACKAGES = (
    "jax",
    "flax",
    "equinox",
    "optax",
    "orbax-checkpoint",
    "chex",
    "ml-dtypes",
    "jaxtyping",
    "msgpack",
)
LEFT_OUT = {"tests", "benchmarks"}  # folders whose files nobody imports
OF_RELEASES, OF_VERSION = (
    {"version.py", "_version.py"},
    2,
)  # files that hold the version, alone or in so many lines


def snapshot_of(
    subjects: Sequence[Subject],
    equality: list[Measurement] | None = None,
    packages: Iterable[str] = (),
) -> Snapshot:
    """A snapshot of subjects, as of now, with the versions of packages beside those that trigru requires."""
    when, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe_machine()
    versions = machine.versions | installed(["trigru", *packages])
    if machine.commit:
        versions["trigru"] += (
            f", of commit {machine.commit[:12]}"
            + "-dirty" * machine.commit.endswith("-dirty")
        )
    return Snapshot(
        SCHEMA,
        command_line(),
        when,
        replace(machine, versions=versions),
        equality,
        list(subjects),
    )


def installed(names: Iterable[str] = ("trigru",)) -> dict[str, str]:
    """The versions of distributions and of all that they require, trigru with `EXTRAS`; with the origin of a checkout.

    >>> {"jax", "jaxlib", "flax", "orbax-checkpoint", "ml-dtypes"} <= installed().keys()
    True
    """
    return {
        name: version for name, version in _needed(names).items() if version is not None
    }


def is_here(versions: Mapping[str, str], packages: Iterable[str]) -> bool:
    """Whether trigru, some packages, and all that they require are of these versions here, where these name them.

    No other name is looked up: it may be anybody's, or of a package for another platform.
    """
    here = _needed(["trigru", *packages])
    named = [
        (version, versions[name]) for name, version in here.items() if name in versions
    ]
    return all(
        version is not None and version.removesuffix(LOCAL) == of.removesuffix(LOCAL)
        for version, of in named
    )


def _needed(names: Iterable[str]) -> dict[str, str | None]:
    """As `installed`, with None for what is required and not installed."""
    found: dict[str, str | None] = {}
    rest = list(names)
    while rest:
        name = canonicalize_name(rest.pop())
        if name in found:
            continue
        try:
            of = distribution(name)
        except PackageNotFoundError:
            found[name] = None
            continue
        url = json.loads(
            of.read_text("direct_url.json") or "{}"
        )  # of no release; a path may identify a user
        commit, editable = (
            url.get("vcs_info", {}).get("commit_id"),
            url.get("dir_info", {}).get("editable"),
        )
        local = ", editable" if editable else LOCAL if url else ""
        found[name] = of.version + (f", of commit {commit[:12]}" if commit else local)
        rest += [
            r.name
            for r in required(of.requires or (), EXTRAS if name == "trigru" else ("",))
        ]
    return found


def required(
    requires: Iterable[str], extras: Iterable[str] = EXTRAS
) -> list[Requirement]:
    """The requirements of a package that are ones here, with one of these extras."""
    found = map(Requirement, requires)
    return [
        r
        for r in found
        if r.marker is None
        or any(r.marker.evaluate({"extra": extra}) for extra in extras)
    ]


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
    for name, _, place in _differing(old, new, same_version=True):
        yield Change(
            "code", name, "other code under the same version", "", place, place
        )


def unnamed(old: Read, new: Read, found: Iterable[Change]) -> dict[str, list[str]]:
    """The files that another version of a package has otherwise and no change names: what nothing here may have run.

    They are told by the first line that differs. Those that computed something here come first.
    """
    named = " ".join(f"{change.what} {change.new} {change.line}" for change in found)
    run = {
        line.partition(":")[0]
        for s in new[0].subjects
        for trail in s.trails.values()
        for line in trail.lines
    }
    left = (
        row for row in _differing(old, new, same_version=False) if row[1] not in named
    )
    of_packages = grouped(left, lambda row: row[0]).items()
    return {
        name: [row[2] for row in sorted(rows, key=lambda row: row[1] not in run)]
        for name, rows in of_packages
    }


def _differing(
    old: Read, new: Read, *, same_version: bool
) -> Iterator[tuple[str, str, str]]:
    """Of packages with the same or another version: package, file, and its first line that differs, as "optax/a.py:64".

    Another version differs beside what holds the version, as far as the number of lines tells.
    """
    for name in sorted(old[0].sources.keys() & new[0].sources.keys()):
        versions = {read[0].machine.versions.get(name) for read in (old, new)}
        was, now = (_files(read, name) for read in (old, new))
        for file in (
            sorted(was.keys() | now.keys())
            if (len(versions) == 1) == same_version
            else ()
        ):
            if was.get(file) == now.get(file) or (
                not same_version and Path(file).name in OF_RELEASES
            ):
                continue
            if file not in now or file not in was:
                yield name, file, f"{file} ({'is gone' if file in was else 'is new'})"
                continue
            lines, others = was[file][1], now[file][1]
            other = [
                number
                for number, (a, b) in enumerate(zip_longest(lines, others))
                if a != b
            ]
            may_be_version = re.fullmatch("[^/]+/__init__.py", file) and len(
                lines
            ) == len(others)
            if same_version or not may_be_version or len(other) > OF_VERSION:
                # without an other line, it has the same hash by chance
                yield (
                    name,
                    file,
                    f"{file}:{min(other[0] + 1, len(others))}" if other else file,
                )


def _files(read: Read, name: str) -> dict[str, tuple[int, bytes]]:
    """By file, the hash of its content, and of each of its lines."""
    source, at, files = read[0].sources[name], 0, {}
    lines = read[1][source.lines].tobytes()
    for file, (whole, number) in source.files.items():
        files[file] = (whole, lines[at : at + number])
        at += number
    return files

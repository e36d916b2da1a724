"""What is installed: versions of packages, and checksums of their Python files.

A release that was edited where it is installed has the version of the release, and a
snapshot runs a part of it alone: so files are compared. Other code under the same
version is a fact, under another version a hint.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..results.files import command_line
from ..timing.machine import describe_machine
from .record import SCHEMA, Change, Snapshot, Subject

EXTRAS = ("bench", "equinox", "flax")  # of trigru, which its commands need
#: The packages whose files are compared: the frameworks, and what they compute with and
#: store by.
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
#: Folders whose files nobody imports.
LEFT_OUT = {"tests", "benchmarks"}
#: Files that hold the version of a release, and differ in each.
OF_RELEASES = ("version.py", "_version.py")


def snapshot_of(subjects: Sequence[Subject], packages: Iterable[str] = ()) -> Snapshot:
    """A snapshot of subjects, as of now.

    It has the versions of trigru, of some packages, and of all that these require.
    """
    machine = describe_machine()
    versions = machine.versions | installed(["trigru", *packages])
    if machine.commit:
        dirty = "-dirty" if machine.commit.endswith("-dirty") else ""
        versions["trigru"] += f", of commit {machine.commit[:12]}{dirty}"
    return Snapshot(
        schema=SCHEMA,
        command=command_line(),
        datetime=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=replace(machine, versions=versions),
        subjects=list(subjects),
    )


def installed(names: Iterable[str] = ("trigru",)) -> dict[str, str]:
    """The versions of distributions and of all that they require.

    Of trigru, that is with `EXTRAS`. What is no release has its origin with it.

    >>> {"jax", "jaxlib", "flax", "orbax-checkpoint", "ml-dtypes"} <= set(installed())
    True
    """
    versions: dict[str, str] = {}
    remaining = list(names)
    while remaining:
        name = canonicalize_name(remaining.pop())
        if name in versions:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        versions[name] = package.version + _origin(package)
        extras = EXTRAS if name == "trigru" else ("",)
        for requirement in required(package.requires or (), extras):
            remaining.append(requirement.name)
    return versions


def required(
    requires: Iterable[str], extras: Iterable[str] = EXTRAS
) -> list[Requirement]:
    """The requirements of a package that count here, with any of these extras."""
    requirements: list[Requirement] = []
    for text in requires:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in extras):
            requirements.append(requirement)
    return requirements


def sources_of(packages: Iterable[str]) -> dict[str, dict[str, int]]:
    """The Python files of those of `PACKAGES` that some packages require.

    Each has the checksum of its content without the package's version. Tests are left
    out, and so is what is installed from a folder, a commit or a file: its code may
    change under one version.
    """
    sources: dict[str, dict[str, int]] = {}
    for name, version in installed(packages).items():
        is_release = " " not in version
        if name not in PACKAGES or not is_release:
            continue
        files: dict[str, int] = {}
        for file in sorted(distribution(name).files or (), key=str):
            path = Path(str(file.locate()))
            is_left_out = not LEFT_OUT.isdisjoint(file.parts)
            if file.suffix == ".py" and not is_left_out and path.is_file():
                content = path.read_bytes().replace(version.encode(), b"")
                files[str(file)] = zlib.crc32(content)
        sources[name] = files
    return sources


def edited_files(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """A change for each file that a package has otherwise under the same version."""
    for package in _packages_of(old, new):
        if _has_one_version(package, old, new):
            for file in _differing(package, old, new):
                text = "other code under the same version"
                yield Change("code", package, text, "", file)


def unexplained_files(
    old: Snapshot, new: Snapshot, changes: Iterable[Change]
) -> dict[str, list[str]]:
    """The files that another version of a package has otherwise and no change names.

    Nothing here may have run them. Those that computed something come first.
    """
    texts = [f"{change.what} {change.new} {change.line}" for change in changes]
    named = " ".join(texts)
    run = _run_files(new)
    unexplained: dict[str, list[str]] = {}
    for package in _packages_of(old, new):
        if _has_one_version(package, old, new):
            continue
        for text in _differing(package, old, new):
            file = text.partition(" ")[0]
            if file not in named and Path(file).name not in OF_RELEASES:
                unexplained.setdefault(package, []).append(text)
    for files in unexplained.values():
        files.sort(key=lambda text: text.partition(" ")[0] not in run)
    return unexplained


def _origin(package: Distribution) -> str:
    """Where a distribution is from; "" for a release. A path may identify a user."""
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return f", of commit {commit[:12]}"
    if origin.get("dir_info", {}).get("editable"):
        return ", editable"
    return ", of a local file" if origin else ""


def _packages_of(old: Snapshot, new: Snapshot) -> list[str]:
    """The packages whose files both snapshots have."""
    return sorted(old.sources.keys() & new.sources.keys())


def _has_one_version(package: str, old: Snapshot, new: Snapshot) -> bool:
    old_version = old.machine.versions.get(package)
    return old_version == new.machine.versions.get(package)


def _differing(package: str, old: Snapshot, new: Snapshot) -> Iterator[str]:
    """The files of a package with other code, as "optax/a.py (is new)"."""
    before, after = old.sources[package], new.sources[package]
    for file in sorted(before.keys() | after.keys()):
        if file not in after:
            yield f"{file} (is gone)"
        elif file not in before:
            yield f"{file} (is new)"
        elif before[file] != after[file]:
            yield file


def _run_files(snapshot: Snapshot) -> set[str]:
    """The files whose lines computed something."""
    files: set[str] = set()
    for subject in snapshot.subjects:
        for observation in subject.observations.values():
            if observation.trail is not None:
                for line in observation.trail.lines:
                    files.add(line.partition(":")[0])
    return files

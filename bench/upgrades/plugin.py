"""The pytest plugin: the fixture `unchanged`.

It imports nothing heavy before its use.
"""

import hashlib
import re
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ...common.errors import what_to_install

if TYPE_CHECKING:
    from .record import Snapshot, Subject
    from .snapshot_file import ArrayStore

#: The name under which a test reports what `--trigru-update` accepted.
ACCEPTED = "trigru accepted"
#: Characters of a test's name that stay in the name of its file.
_UNSAFE = re.compile(r"[^\w.,+=\[\]-]+", re.ASCII)
LONGEST_NAME = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that accept and that record what is installed."""
    group = parser.getgroup("trigru")
    group.addoption(
        "--trigru-update",
        action="store_true",
        help=(
            "write new snapshots for the fixture `unchanged` where something changed, "
            "and show what"
        ),
    )
    group.addoption(
        "--trigru-record",
        metavar="FOLDER",
        help=(
            "write what the fixture `unchanged` gets into this folder, and compare "
            "nothing; `trigru snapshot TESTS` runs pytest with it"
        ),
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what `--trigru-update` accepted, with the lines of a failure."""
    accepted: list[str] = []
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == ACCEPTED and report.when == "call":
                accepted.append(f"{report.nodeid}: {text}")
    if accepted:
        terminalreporter.section("accepted by --trigru-update")
        for text in accepted:
            terminalreporter.write_line(text)


@pytest.fixture
def unchanged(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Fail a test if a model or a function does something else than before.

    `unchanged(model_or_function, *arguments, fail_on=None)` compares it with a snapshot
    in the folder `snapshots` beside the test. `pytest --trigru-update` writes that
    snapshot. The test fails at the same kinds of changes as `trigru diff`, or at those
    that `fail_on` names.
    """
    calls = count(1)

    def check(
        thing: Any, *arguments: Any, fail_on: Collection[str] | None = None
    ) -> None:
        number = next(calls)
        name = request.node.nodeid
        if number > 1:
            name = f"{name}-{number}"
        try:
            message = _checked(request, name, thing, arguments, fail_on)
        except ModuleNotFoundError as error:
            message = what_to_install(error)
            if message is None:
                raise
        if message:
            pytest.fail(message, pytrace=False)

    return check


def file_name(name: str) -> str:
    """The name of a test's files, for every file system, without its extension.

    Where characters had to go, a hash keeps the names of two tests apart.

    >>> file_name("tests/test_it.py::TestNorm::test_layer[4-relu]")
    'TestNorm.test_layer[4-relu]'
    >>> file_name("test_it.py::test_layer[gelu/tanh]")
    'test_layer[gelu_tanh]-bed5a2'
    """
    test = name.partition("::")[2].replace("::", ".")
    safe = _UNSAFE.sub("_", test)
    if safe == test and len(test) <= LONGEST_NAME:
        return test
    digest = hashlib.sha256(test.encode()).hexdigest()[:6]
    return f"{safe[:LONGEST_NAME]}-{digest}"


def _checked(
    request: pytest.FixtureRequest,
    name: str,
    thing: Any,
    arguments: tuple[Any, ...],
    fail_on: Collection[str] | None,
) -> str:
    """Record a call, and write it or compare it; what is wrong, or ""."""
    from .installed import snapshot_of
    from .record import FAILING
    from .recording import check_works, subject_of
    from .snapshot_file import ArrayStore, save_file

    store = ArrayStore()
    subject = subject_of(thing, arguments, store, name=name)
    new = snapshot_of([subject])
    config = request.config
    record_in: str | None = config.getoption("trigru_record")
    if record_in is not None:
        folder = Path(record_in)
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        save_file(folder / f"{digest}.safetensors", new, store)
        return ""

    test = Path(request.node.path)
    path = test.parent / "snapshots" / test.stem / f"{file_name(name)}.safetensors"
    accept = f"pytest --trigru-update '{request.node.nodeid}'"
    failing = FAILING if fail_on is None else fail_on
    if config.getoption("trigru_update"):
        check_works(subject)
        accepted = _update(path, new, store)
        if accepted:
            request.node.user_properties.append((ACCEPTED, accepted))
        return ""
    if not path.is_file():
        return (
            f"There is no snapshot in {path}. With versions that you trust, run: "
            f"{accept}"
        )
    return _compare(path, new, store, subject, failing, accept)


def _update(path: Path, new: "Snapshot", store: "ArrayStore") -> str:
    """Write a snapshot and the text beside it, and say what is accepted by that.

    Where nothing changed, the files stay as they are.
    """
    from ...common.files import write_whole
    from .changes import compare_snapshots
    from .record import KINDS, SnapshotError
    from .review import text_of
    from .snapshot_file import Loaded, load_file, save_file
    from .words import failure_lines

    lines = ["a first snapshot"]
    if path.is_file():
        try:
            changes = compare_snapshots(load_file(path), Loaded(new, store))
        except SnapshotError:
            lines = ["a new snapshot: the old one cannot be read"]
        else:
            if not changes:
                return ""
            lines = failure_lines(changes, KINDS)
    save_file(path, new, store)
    write_whole(path.with_suffix(".txt"), text_of(new, store).encode())
    return "\n".join(lines)


def _compare(
    path: Path,
    new: "Snapshot",
    store: "ArrayStore",
    subject: "Subject",
    failing: Collection[str],
    accept: str,
) -> str:
    """What changed since a snapshot, in some lines; "" if nothing fails."""
    from .changes import compare_snapshots
    from .record import LACKING
    from .snapshot_file import Loaded, load_file
    from .words import failure_lines, moved_versions

    old = load_file(path)
    changes = compare_snapshots(old, Loaded(new, store))
    lines = failure_lines(changes, failing)
    if not lines:
        return ""
    lacking: set[str] = set()
    for observation in subject.observations.values():
        lacking |= observation.lacks.keys()
    sentences = [LACKING[name] for name in LACKING if name in lacking]
    versions = moved_versions(old.snapshot, new)
    return "\n".join(
        [*lines, versions, *sentences, f"To accept the change, run: {accept}"]
    )

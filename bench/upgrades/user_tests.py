"""Snapshots of what a user's tests pass to the fixture `unchanged`."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from ...common.errors import InputError
from .installed import snapshot_of
from .record import Snapshot, Subject
from .snapshot_file import load_file, save

STDERR = 2  # its file descriptor
#: What pytest returns where all tests passed, and where some failed.
PASSED, FAILED = 0, 1


def is_of_tests(text: str) -> bool:
    """Whether a user means tests, and no file with models.

    >>> is_of_tests("tests/test_model.py::test_loss"), is_of_tests("tests")
    (True, True)
    >>> is_of_tests("my_port.py")
    False
    """
    path = Path(text.partition("::")[0])
    is_file_of_tests = path.stem.startswith("test_") or path.stem.endswith("_test")
    return "::" in text or path.suffix != ".py" or is_file_of_tests


def are_of_tests(arguments: Sequence[str]) -> bool:
    """Whether these arguments of `trigru snapshot` mean tests."""
    return any(
        is_of_tests(word) for word in arguments if not word.startswith("--port=")
    )


def take_snapshot_of_tests(folder: Path, tests: str) -> Snapshot:
    """Run tests, and write down what they pass to `unchanged`. Nothing is compared.

    Args:
        folder: of the snapshot.
        tests: a file, a folder, or one test, as pytest takes it.

    Raises an InputError if pytest does not run them, or they use no `unchanged`.
    """
    with tempfile.TemporaryDirectory() as place:
        code = _run_pytest(tests, place)
        loaded = [load_file(path) for path in sorted(Path(place).iterdir())]
    if code not in (PASSED, FAILED):
        raise InputError(f"pytest {tests} ended with {code}: its output is above.")
    if not loaded:
        raise InputError(
            f"{tests}: no test called the fixture `unchanged`, so that nothing is "
            "recorded. The output of pytest is above."
        )

    arrays: dict[str, np.ndarray] = {}
    subjects: list[Subject] = []
    for each in loaded:
        arrays.update(each.arrays)
        for subject in each.snapshot.subjects:
            subjects.append(replace(subject, framework=tests))
    subjects.sort(key=lambda subject: subject.name)
    snapshot = snapshot_of(subjects)
    save(folder, snapshot, arrays)
    return snapshot


def _run_pytest(tests: str, folder: str) -> int:
    """The exit code of pytest, whose output goes to stderr."""
    options = ["-q", "-p", "no:cacheprovider", f"--trigru-record={folder}"]
    command = [sys.executable, "-m", "pytest", tests, *options]
    return subprocess.run(command, stdout=STDERR, check=False).returncode

"""Snapshots of models and functions of a user's own."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import jax
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.errors import InputError
from ...common.parity.model import CALL, Model
from ..results.files import command_line
from ..timing.machine import describe_machine
from .files import Kept
from .functions import Example, collect, paths_of, tree_of
from .record import SCHEMA, Snapshot, Subject
from .versions import installed

#: The argument that a call lacks, in Python's words.
_LACKS = re.compile(r"missing \d+ required [a-z -]*arguments?: '(\w+)'")
#: Under it stands what a function was called with.
ARGUMENTS = "the arguments"


def subject_of(thing: Any, arguments: tuple[Any, ...], kept: Kept, *, name: str = "", source: str = "") -> Subject:
    """The facts of a model or a function. Raises an InputError if it fails.

    Args:
        thing: a `trigru.parity.Model`, a callable pytree with arrays, as a module, or a function of arrays.
        arguments: that it is called with; a function is differentiated by all of them, a model by its parameters.
        name, source: of the subject, and where it comes from; by default its own name.
    """
    name = name or getattr(thing, "name", None) or getattr(thing, "__name__", type(thing).__name__)
    subject = Subject(name, source or name)
    for mode, example in _examples(thing, arguments).items():
        collect(subject, kept, mode, example)
        subject.tree |= tree_of(example.params, "parameter ")
    if subject.problems:
        problem = next(iter(subject.problems.values()))
        lacks = _LACKS.search(problem)
        advice = f". Pass a function that has it: lambda *inputs: model(*inputs, {lacks[1]}=...)." if lacks else ""
        raise InputError(f"{name} fails: {problem}{advice}")
    subject.values[ARGUMENTS] = kept.keep_all(paths_of(arguments))
    return subject


def _examples(thing: Any, arguments: tuple[Any, ...]) -> dict[str, Example]:
    if hasattr(thing, "init_with_output"):
        raise InputError(f"{type(thing).__name__} is of linen: pass its apply, then its variables, then the inputs.")
    if isinstance(thing, Model):

        def called(mode: str, params: Any, *inputs: Any) -> Any:
            return thing(params, thing.state, inputs, mode)[0]

        return {mode: Example(partial(called, mode), thing.params, arguments, compiled=True) for mode in thing.modes}
    if any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(thing)):
        return {CALL: Example(lambda module, *xs: module(*xs), thing, arguments, compiled=True)}
    return {CALL: Example(lambda given: thing(*given), arguments, compiled=True)}


def snapshot_of(
    subjects: Sequence[Subject], equality: list[Measurement] | None = None, packages: Iterable[str] = ()
) -> Snapshot:
    """A snapshot of subjects, as of now, with the versions of packages beside those that trigru requires."""
    when, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe_machine()
    versions = machine.versions | installed(["trigru", *packages])
    if machine.commit:
        versions["trigru"] += f", of commit {machine.commit[:12]}" + "-dirty" * machine.commit.endswith("-dirty")
    machine = replace(machine, versions=versions)
    return Snapshot(SCHEMA, command_line(), when, machine, equality, list(subjects))

"""The text beside a test's snapshot: what it holds, to be read in a pull request."""

from collections.abc import Iterator

import numpy as np

from .differences import is_floating
from .record import Observation, Snapshot
from .snapshot_file import Arrays
from .subject_pairs import is_gradient
from .words import versions_in_words

#: Of an array with more numbers, a few figures are written in their place.
MOST_NUMBERS = 4


def text_of(snapshot: Snapshot, arrays: Arrays) -> str:
    """All facts that a reader understands, one a line and sorted, so that a change of
    one is a change of one line.

    trigru does not read it again.
    """
    lines: list[str] = []
    for subject in snapshot.subjects:
        lines += [subject.name, f"recorded with {versions_in_words(snapshot)}", ""]
        for name, observation in subject.observations.items():
            facts = sorted(_facts_of(observation, arrays))
            lines += [f"{name}:", *(f"  {fact}" for fact in facts), ""]
        for warned in subject.warnings:
            lines.append(f"warning {warned.where}: {warned.text}")
    return "\n".join(lines).rstrip() + "\n"


def _facts_of(observation: Observation, arrays: Arrays) -> Iterator[str]:
    for name, key in observation.results.items():
        yield f"{name} = {_array_in_words(arrays[key])}"
    for name, key in observation.exact_results.items():
        if is_gradient(name) and name not in observation.results:
            yield f"{name} = {_array_in_words(arrays[key])}"
    for name, text in observation.texts.items():
        yield f"{name} = {text!r}"
    for lacking, reason in observation.lacks.items():
        yield f"without {lacking}: {reason}"
    if observation.random_bits:
        yield f"random bits: {observation.random_bits}"
    program = observation.program
    if program is not None:
        yield f"operations of the trace: {program.equations}"
        if program.kept_bytes is not None:
            yield f"kept for the gradient: {program.kept_bytes} bytes"


def _array_in_words(array: np.ndarray) -> str:
    """Its numbers, or of many the mean and two sizes, with five digits."""
    kind = f"{array.dtype}{list(array.shape)}"
    if array.size <= MOST_NUMBERS or not is_floating(array):
        shown = [f"{number:.5g}" for number in array.ravel()[: 2 * MOST_NUMBERS]]
        if len(shown) < array.size:
            shown.append("...")
        return f"{' '.join(shown)}  {kind}"

    wide = array.astype(complex if array.dtype.kind == "c" else float)
    magnitudes = np.abs(wide)
    largest, norm = magnitudes.max(), np.linalg.norm(magnitudes)
    return f"mean {wide.mean():.5g}, largest {largest:.5g}, norm {norm:.5g}  {kind}"

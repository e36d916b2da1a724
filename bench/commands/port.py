"""`trigru port`: compare two models of the user's own."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ...common.parity.comparison import compare
from ...common.parity.report import SAME, Comparison
from ...common.program.model import Model
from ...impls.parity.saving import check_suffix, save_candidate
from ..processes.interrupts import leaving_at_once, shielded
from ..reporting.console import say, show_lines
from .user_files import (
    CANDIDATE,
    INPUTS,
    REFERENCE,
    inputs_of,
    load_file,
    load_named,
    model_of,
)

#: The exit code of each verdict.
EXIT = {"same": 0, "only if": 1, "another": 1, "unknown": 125}


def port(
    files: list[str],
    inputs: str | None = None,
    save: Path | None = None,
    time: bool = False,
    format: str = "text",
) -> None:
    """Compare the models of one or two files, and end with the exit code of the
    verdict.

    Raises an InputError at a file that fails, or has not what is expected of it; or a
    candidate that cannot be saved.
    """
    if len(files) > 2:
        raise typer.BadParameter(
            "expected one file with both models, or two, the reference first."
        )
    if time:
        from . import port_time  # noqa: F401 (its packages may be missing)

    with leaving_at_once():
        verdict = _port(files, inputs, save, time, format)
    raise typer.Exit(EXIT[verdict])


def _port(
    files: list[str], inputs: str | None, save: Path | None, time: bool, format: str
) -> str:
    """Compare, print and save; returns the verdict."""
    if len(files) == 1:
        module = load_file(files[0])
        reference = model_of(module, REFERENCE)
        candidate = model_of(module, CANDIDATE)
    else:
        reference_module, reference_name = load_named(files[0], REFERENCE)
        module, candidate_name = load_named(files[1], CANDIDATE)
        reference = model_of(reference_module, reference_name)
        candidate = model_of(module, candidate_name)
    if inputs is None:
        arrays = inputs_of(module)
    else:
        arrays = inputs_of(*load_named(inputs, INPUTS))
    if save is not None:
        check_suffix(save, candidate)

    mapping = getattr(module, "mapping", None)
    result = compare(reference, candidate, *arrays, mapping=mapping, say=say)
    facts = result.as_json()
    lines = [str(result)]
    if time:
        cost, cost_lines = _cost(reference, candidate, arrays, result)
        facts["cost"] = cost
        lines += cost_lines

    text = json.dumps(facts, indent=2) if format == "json" else "\n".join(lines)
    show_lines(text.splitlines())
    if save is not None:
        with shielded():
            save_candidate(save, candidate, result)
        say(
            f"{candidate.name} is saved to {save}, with the parameters of "
            f"{reference.name}."
        )
    return result.verdict


def _cost(
    reference: Model, candidate: Model, inputs: tuple[Any, ...], result: Comparison
) -> tuple[list[dict[str, Any]], list[str]]:
    """What the models cost, as facts and as lines; none of models that are not the same
    function.
    """
    from .port_time import cost_lines, cost_of

    if result.verdict != SAME:
        say("They are not timed, since they are not the same function.")
        return [], []
    costs = list(cost_of(reference, candidate, inputs, result))
    facts = [asdict(cost) for cost in costs]
    return facts, ["", *cost_lines(costs)]

"""What the functions below the command line receive, of which none does anything."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import pytest
from support.cli import invoke
from typer.main import get_command

#: By module of `trigru.bench`.
BELOW = {
    "commands.bench": ("benchmark", "start_cold", "check_cluster", "take_part"),
    "commands.bisect": ("find",),
    "commands.claims": ("claim_folder",),
    "commands.compare": ("compare",),
    "commands.convert": ("convert",),
    "commands.diff": ("diff",),
    "commands.matrix": ("matrix", "read_sets"),
    "commands.options": ("make_plan", "calibration_plan"),
    "commands.report": ("report",),
    "commands.snapshot": ("snapshot",),
    "commands.styles": ("list_styles", "print_code"),
    "commands.table": ("table",),
    "commands.train": ("train", "train_vanishing"),
    "commands.verify": ("verify", "verify_together", "report_self_test", "report_upstream"),
    "processes.cluster": ("read_cluster",),
    "processes.probe": ("check_jax",),
    "proving.prover": ("Prover",),
}
#: What they answer; the others nothing.
ANSWERS = {
    "Prover": nullcontext("the prover"), "make_plan": "a plan", "calibration_plan": "that of a calibration",
    "read_sets": "sets",
}  # fmt: skip


def received(*words: str, **answers: Any) -> dict[str, Any]:
    """What a command hands on, by function and parameter in the order of the calls; each call itself is True.

    A claim that was held has "released" at its end.

    Args:
        answers: of functions, instead of the usual.
    """
    seen: dict[str, Any] = {}

    @contextmanager
    def claim() -> Iterator[None]:
        yield
        seen["released"] = True

    def recorded(name: str, signature: inspect.Signature) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            found = signature.bind(*given, **named).arguments
            for parameter, value in found.items():
                whole = signature.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD
                seen.update({f"{name}.{key}": v for key, v in (value if whole else {parameter: value}).items()})
            seen.setdefault(name, True)
            return claim() if name == "claim_folder" else (ANSWERS | answers).get(name)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for place, names in BELOW.items():
            module = import_module(f"trigru.bench.{place}")
            for name in names:
                patch.setattr(module, name, recorded(name, inspect.signature(getattr(module, name))))
        found = invoke(*words)
    assert found.exit_code == 0, f"{found.stderr}{found.exception!r}"
    return seen


def parameters_of(command: str) -> dict[str, Any]:
    """The options and arguments of a command, by the names that users write; a switch that says no is in its yes."""
    from trigru.bench.cli import app

    return {p.opts[0]: p for p in get_command(app).commands[command].params if p.opts[0] != "--help"}

"""`trigru styles`: what it prints, and what it says where there is no code."""

import pytest
from support.cli import invoke, shown
from trigru.bench.commands.styles import style_table
from trigru.common.port.protocol import CallStyle
from trigru.impls import get_port
from trigru.impls.code import code_of


def printed(*arguments):
    """The comment above the code, and the code."""
    found = invoke("styles", *arguments)
    assert found.exit_code == 0, found.exception
    lines = found.stdout.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line[0] != "#")
    return "".join(lines[:first]), "".join(lines[first:])


@pytest.mark.parametrize(
    ("arguments", "styles"),
    [
        (("nnx",), dict.fromkeys(("train_step", "forward", "step"), "nnx.jit")),
        (("nnx", "functional"), dict.fromkeys(("train_step", "forward", "step"), "split-merge")),
        (("linen",), {"train_step": "train_state", "forward": "apply", "step": "apply"}),
        (("linen", "apply"), dict.fromkeys(("train_step", "forward", "step"), "apply")),
        (("equinox", "donated"), {"train_step": "donated"}),
    ],
)
def test_the_code_of_a_style_is_printed_by_name_or_label(arguments, styles):
    comment, code = printed(*arguments)
    assert code == code_of(arguments[0], styles)
    for style in styles.values():
        phases = ", ".join(phase for phase in styles if styles[phase] == style)
        assert f"call style {style} ({phases}): " in comment
    caution = "# Mind: what a call changes in the module, as dropout's generator, is lost unless returned.\n"
    assert (caution in comment) == (arguments == ("nnx", "functional"))
    compile(comment + code, "program", "exec")


def test_without_a_port_all_styles_are_listed_with_labels_and_pages():
    found = invoke("styles")
    assert found.exit_code == 0
    for name in ("pure", "linen", "nnx", "equinox"):
        for style in get_port(name).call_styles:
            assert style.name in found.stdout
            assert f"{name}[{style.name}]: {style.source}" in found.stdout or not style.source
    assert "documented (forward, gradient," in found.stdout
    assert len(shown([style_table([get_port("linen")])]).splitlines()) > 9


def test_a_style_that_is_not_to_be_had_is_printed_and_the_reason_said(monkeypatch):
    port = get_port("nnx")
    lacking = [CallStyle(**(vars(style) | {"missing": lambda: "this flax is old"})) for style in port.call_styles]
    monkeypatch.setattr(type(port), "call_styles", tuple(lacking))
    found = invoke("styles", "nnx", "cached_partial")
    assert found.stderr == "call style 'cached_partial' of nnx does not run here: this flax is old.\n"
    assert "nnx.cached_partial(train_step, model, optimizer)" in found.stdout
    assert "nnx[nnx.jit] does not run here: this flax is old." in invoke("styles").stdout

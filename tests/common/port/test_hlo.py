"""What is read from a program: its counts, a fingerprint, and what devices exchange."""

from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from trigru.common.port.hlo import (
    Collective,
    collectives_of,
    fingerprint,
    read_program,
    tuned,
)

X = jnp.ones((4, 4))
ROW = jnp.ones((1, 4))
TRIPS = (
    ", "
    'backend_config={"known_trip_count":{"n":"7"},"known_init_step":{"init":"0","step":"1"}}'
)


def repeat(trips, a, b):
    """A loop that XLA keeps, with one product in its body."""
    return jax.lax.fori_loop(
        0, trips, lambda _, carry: (jnp.sin(carry[0]) @ carry[1], carry[1]), (a, b)
    )


#: Small programs, and their products, loops, transpositions and fusions.
@pytest.mark.parametrize(
    ("function", "dots", "whiles", "transposes", "fusions"),
    [
        (lambda x: x @ x, 1, 0, 0, 0),
        (lambda x: jnp.tanh(x) * 2 + x, 0, 0, 0, 1),
        (lambda x: repeat(5, *repeat(8, x, x)), 2, 2, 0, None),
        (
            lambda x: jnp.transpose(jnp.sin(x.reshape(2, 2, 4)), (1, 0, 2)),
            0,
            0,
            1,
            None,
        ),
    ],
)
def test_operations_are_counted(function, dots, whiles, transposes, fusions):
    facts = read_program(jax.jit(function).lower(X))
    assert [facts.dots, facts.whiles, facts.transposes] == [dots, whiles, transposes]
    assert fusions in (None, facts.fusions)


def test_a_librarys_products_count_and_analyses_may_be_missing():
    compiled = SimpleNamespace(as_text=lambda: GEMM, memory_analysis=lambda: None)
    facts = read_program(SimpleNamespace(compile=lambda: compiled))
    assert (facts.dots, facts.temp_bytes) == (1, None)


@pytest.mark.parametrize(
    "jit", [jax.jit, nnx.jit, eqx.filter_jit], ids=["jax", "nnx", "equinox"]
)
def test_each_frameworks_jit_can_be_read(jit):
    lowered = jit(lambda x: jnp.sum(jnp.tanh(x @ x) @ x)).lower(X)
    facts, compiled = read_program(lowered), lowered.compile()
    assert facts.dots == 2
    compiled = getattr(compiled, "compiled", compiled)
    assert facts.temp_bytes == compiled.memory_analysis().temp_size_in_bytes > 4, (
        "not of its one result"
    )


def fingerprint_of(function, *arguments):
    return fingerprint(jax.jit(function).lower(*arguments).compile().as_text())


def test_the_same_computation_has_the_same_fingerprint():
    """Whatever the order of leaves and the scope; an inner jit has another name."""

    def base(x, w, b, factor=2.0):
        return jnp.tanh(x @ w + b) - factor * w

    @jax.named_scope("somewhere/else")
    def of_leaves(leaves):
        return jax.jit(base)(leaves["z"], leaves["y"], leaves["a"])

    of_base = fingerprint_of(base, X, X, ROW)
    assert fingerprint_of(of_leaves, {"a": ROW, "y": X, "z": X}) == of_base
    assert fingerprint_of(lambda x, w, b: base(x, w, b, 3.0), X, X, ROW) != of_base


#: The texts of compiled programs: one with a fusion, one with a loop, and one with a
#: library's product.
FOLDER = Path(__file__).parent / "hlo"
HLO, LOOP, GEMM = (
    (FOLDER / f"{name}.hlo").read_text(encoding="utf-8")
    for name in ("fusion", "loop", "gemm")
)
SINE = "  %sine = f32[4,4]{1,0} sine(%x.1)\n"
W = '  %w.1 = f32[4,4]{1,0} parameter(1), metadata={op_name="w"}\n'

EDITS_THAT_COUNT = {
    "layout of an instruction": ("%dot.1 = f32[4,4]{1,0}", "%dot.1 = f32[4,4]{0,1}"),
    "shape": ("%sine = f32[4,4]", "%sine = f32[4,5]"),
    "dimension numbers": ("lhs_contracting_dims={1}", "lhs_contracting_dims={0}"),
    "operation of what is called": (" tanh(", " cosine("),
    "kind": ("kind=kLoop", "kind=kInput"),
    "operands in another order": ("dot(%sine, %w.1)", "dot(%w.1, %sine)"),
    "another operand": ("fusion(%dot.1)", "fusion(%sine)"),
    "body of a loop": ("tuple(%part, %called)", "tuple(%part, %part)"),
    "condition of a loop": ("constant(true)", "constant(false)"),
}
EDITS_THAT_DO_NOT = {
    "backend's configuration": ('["2"]', '["3"]'),
    "metadata": (
        'op_name="jit(f)/tanh" stack_frame_id=5',
        'op_name="vmap(g)/tanh" source_line=7',
    ),
    "braces in metadata": ("jit(f)/tanh", "jit(f)/a{b}c/tanh"),
    "no metadata": (', metadata={op_name="jit(f)/tanh" stack_frame_id=5}', ""),
    "name of an instruction": ("%sine", "%sine.clone.2"),
    "name of a computation": ("%fused", "%fused_computation.3"),
    "name of the module": ("jit_f", "jit__lambda_"),
    "comment": ("/*index=1*/", ""),
    "order of instructions": (W + SINE, SINE + W),
    "order of results": ("tuple(%fusion, %sine)", "tuple(%sine, %fusion)"),
    "control dependencies": (
        SINE,
        SINE.replace("\n", ", control-predecessors={%w.1}\n"),
    ),
}


@pytest.mark.parametrize("edit", [*EDITS_THAT_COUNT, *EDITS_THAT_DO_NOT])
def test_an_edit_of_a_text_counts_or_not(edit):
    old, new = (EDITS_THAT_COUNT | EDITS_THAT_DO_NOT)[edit]
    texts = (
        HLO,
        HLO.replace("}\n\nENTRY", '}, execution_thread="parallel"\n\nENTRY'),
        LOOP,
    )
    of_edit = [text for text in texts if old in text]
    assert of_edit
    for text in of_edit:
        assert (fingerprint(text.replace(old, new)) != fingerprint(text)) == (
            edit in EDITS_THAT_COUNT
        )


def test_what_was_tuned_has_a_fingerprint_of_its_own():
    one, other = (GEMM.replace("ALGORITHM", number) for number in ("5", "7"))
    assert fingerprint(one) == fingerprint(other)
    assert tuned(one) != tuned(other)
    assert len(tuned(one)) == 12
    assert tuned(one.replace("op_name", "source")) == tuned(one)
    assert tuned(one + other) == tuned(other + one) != tuned(one), (
        "whatever their order"
    )
    assert tuned(LOOP.replace(" TRIPS", TRIPS)) == "", (
        "how often a loop runs is no choice"
    )
    assert tuned(HLO) != tuned(HLO.replace('["2"]', '["3"]'))
    assert fingerprint(one) != fingerprint(one.replace("__cublas$gemm", "__cudnn$conv"))


def test_those_in_a_loop_run_as_often_as_the_loop():
    for trips, runs in ((TRIPS, 7), ("", None)):
        assert collectives_of(LOOP.replace(" TRIPS", trips)) == [
            Collective("all-reduce", 38, 1, in_loop=False),
            Collective("all-reduce", 32, runs, in_loop=True),
            Collective("all-gather", 64, 1, in_loop=False),
        ]


#: Operations, and the shape of what they give.
@pytest.mark.parametrize(
    ("operation", "shape"),
    {
        "all-reduce-start(%x), to_apply=%add\n  ROOT %done = f32[8]{0} "
        "all-reduce-done(%begun)": "f32[8]{0}",
        "all-reduce-start(%x, %x), to_apply=%add": "(f32[4]{0}, f32[4]{0})",
        "all-gather-start(%x), dimensions={0}": "(f32[2]{0}, f32[8]{0})",
        "collective-permute-start(%x), "
        "source_target_pairs={{0,1}}": "(f32[8]{0}, f32[8]{0}, u32[], u32[])",
        "ragged-all-to-all(%x, %x, %x, %x, %x, %x)": "f32[8]{0}",
    }.items(),
)
def test_bytes_are_those_of_what_comes_out(operation, shape):
    text = f"ENTRY %main (x: f32[2]) -> f32[8] {{\n  %begun = {shape} {operation}\n}}\n"
    assert [c.nbytes for c in collectives_of(text)] == [32]


def test_those_in_a_branch_are_found():
    branch = (
        "%yes (x: f32[2]) -> f32[2] {\n  ROOT %sum = f32[2]{0} all-reduce(%x), "
        "to_apply=%add\n}\n"
    )
    called = (
        "  ROOT %c = f32[2]{0} conditional(%p, %x, %x), true_computation=%yes, "
        "false_computation=%no\n"
    )
    text = f"{branch}\nENTRY %main (x: f32[2]) -> f32[2] {{\n{called}}}\n"
    assert collectives_of(text) == [Collective("all-reduce", 8, 1, in_loop=False)]

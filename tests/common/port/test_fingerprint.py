"""What a fingerprint tells apart, and what it takes for the same."""

import jax
import jax.numpy as jnp
import pytest
from trigru.common.port.programs import fingerprint, tuned

X = jnp.ones((4, 4))
ROW = jnp.ones((1, 4))


def fingerprint_of(function, *arguments):
    return fingerprint(jax.jit(function).lower(*arguments).compile().as_text())


def base(x, w, b):
    return jnp.tanh(x @ w + b) - 2.0 * w


def in_a_scope(x, w, b):
    with jax.named_scope("somewhere/else"):
        return base(x, w, b)


SAME = {
    "leaves sorted in another way": (lambda p: base(p["z"], p["y"], p["a"]), {"a": ROW, "y": X, "z": X}),
    "another scope in the metadata": (in_a_scope, X, X, ROW),
    "jitted inside, by another name": (lambda x, w, b: jax.jit(base)(x, w, b), X, X, ROW),
}


def test_the_same_computation_has_the_same_fingerprint():
    of_base = fingerprint_of(base, X, X, ROW)
    assert {name: fingerprint_of(*program) for name, program in SAME.items()} == dict.fromkeys(SAME, of_base)
    assert fingerprint_of(lambda x, w, b: jnp.tanh(x @ w + b) - 3.0 * w, X, X, ROW) != of_base


def test_loops_are_told_apart_by_body_and_trip_count():
    def loop(trips, body):
        return lambda a, b: jax.lax.fori_loop(0, trips, lambda _, carry: body(*carry), (a, b))

    def body(a, b):
        return jnp.sin(a) @ b, b + a

    found = fingerprint_of(loop(8, body), X, X)
    assert found == fingerprint_of(lambda b, a: loop(8, body)(a, b)[::-1], X, X)
    for other in (loop(9, body), loop(8, lambda a, b: (jnp.cos(a) @ b, b + a)), loop(8, lambda a, b: (jnp.sin(a), b))):
        assert found != fingerprint_of(other, X, X)


HLO = """HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[4,4]{1,0}, f32[4,4]{1,0})->f32[4,4]{1,0}}

%fused (p.1: f32[4,4]) -> f32[4,4] {
  %p.1 = f32[4,4]{1,0} parameter(0)
  ROOT %tanh.0 = f32[4,4]{1,0} tanh(%p.1), metadata={op_name="jit(f)/tanh" stack_frame_id=5}
}

ENTRY %main.1 (x.1: f32[4,4], w.1: f32[4,4]) -> (f32[4,4], /*index=1*/f32[4,4]) {
  %x.1 = f32[4,4]{1,0} parameter(0), metadata={op_name="x"}
  %w.1 = f32[4,4]{1,0} parameter(1), metadata={op_name="w"}
  %sine = f32[4,4]{1,0} sine(%x.1)
  %dot.1 = f32[4,4]{1,0} dot(%sine, %w.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %fusion = f32[4,4]{1,0} fusion(%dot.1), kind=kLoop, calls=%fused, backend_config={"sizes":{"outer":["2"]}}
  ROOT %tuple = (f32[4,4]{1,0}, /*index=1*/f32[4,4]{1,0}) tuple(%fusion, %sine)
}
"""
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
}
EDITS_THAT_DO_NOT = {
    "backend's configuration": ('["2"]', '["3"]'),
    "metadata": ('op_name="jit(f)/tanh" stack_frame_id=5', 'op_name="vmap(g)/tanh" source_line=7'),
    "braces in metadata": ("jit(f)/tanh", "jit(f)/a{b}c/tanh"),
    "no metadata": (', metadata={op_name="jit(f)/tanh" stack_frame_id=5}', ""),
    "name of an instruction": ("%sine", "%sine.clone.2"),
    "name of a computation": ("%fused", "%fused_computation.3"),
    "name of the module": ("jit_f", "jit__lambda_"),
    "comment": ("/*index=1*/", ""),
    "order of instructions": (W + SINE, SINE + W),
    "order of results": ("tuple(%fusion, %sine)", "tuple(%sine, %fusion)"),
    "control dependencies": (SINE, SINE.replace("\n", ", control-predecessors={%w.1}\n")),
}


@pytest.mark.parametrize("edit", [*EDITS_THAT_COUNT, *EDITS_THAT_DO_NOT])
def test_an_edit_of_a_text_counts_or_not(edit):
    old, new = (EDITS_THAT_COUNT | EDITS_THAT_DO_NOT)[edit]
    assert old in HLO
    assert (fingerprint(HLO.replace(old, new)) != fingerprint(HLO)) == (edit in EDITS_THAT_COUNT)


def test_a_computation_of_another_thread_counts():
    def of_thread(operation):
        return HLO.replace("}\n\nENTRY", '}, execution_thread="parallel"\n\nENTRY').replace(" tanh(", f" {operation}(")

    assert fingerprint(of_thread("tanh")) != fingerprint(of_thread("cosine"))


GEMM = """HloModule jit_f
ENTRY %main (a: f32[8,8]) -> f32[8,8] {
  %a = f32[8,8]{1,0} parameter(0)
  ROOT %gemm = f32[8,8]{1,0} custom-call(%a, %a), custom_call_target="__cublas$gemm", CONFIG, metadata={op_name="dot"}
}
""".replace(
    "CONFIG",
    'backend_config={"gemm_backend_config":{"selected_algorithm":"ALGORITHM","dot_dimension_numbers":'
    '{"lhs_contracting_dimensions":["1"]}},"force_earliest_schedule":false}',
)
LOOP = (
    "  %loop = (s32[]) while(%t), condition=%c, body=%b, "
    'backend_config={"known_trip_count":{"n":"17"},"known_init_step":{"init":"0","step":"1"}}'
)


def test_what_was_tuned_has_a_fingerprint_of_its_own():
    one, other = (GEMM.replace("ALGORITHM", number) for number in ("5", "7"))
    assert fingerprint(one) == fingerprint(other)
    assert tuned(one) != tuned(other)
    assert len(tuned(one)) == 12
    assert tuned(one.replace("op_name", "source")) == tuned(one)
    assert tuned(one + other) == tuned(other + one) != tuned(one), "whatever their order"
    assert tuned(LOOP) == "", "how often a loop runs is no choice"
    assert tuned(HLO) != tuned(HLO.replace('["2"]', '["3"]'))
    assert fingerprint(one) != fingerprint(one.replace("__cublas$gemm", "__cudnn$conv"))

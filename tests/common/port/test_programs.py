"""What is read from a program: its fingerprint, its counts, how long it took to build, and what that explains."""

import re
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax._src import monitoring
from trigru.bench.arms.arms import Arm, prepare
from trigru.common.port.programs import ProgramFacts, explain, fingerprint, read_program, watch_build

X = jnp.ones((4, 4))
ROW = jnp.ones((1, 4))


def fingerprint_of(function, *arguments):
    return fingerprint(jax.jit(function).lower(*arguments).compile().as_text())


def base(x, w, b):
    return jnp.tanh(x @ w + b) - 2.0 * w


def two(x, w):
    return jnp.sin(x) @ w, jnp.cos(w)


def loop(trips, body):
    """Two carried arrays through a loop that XLA keeps."""
    return lambda a, b: jax.lax.fori_loop(0, trips, lambda _, carry: body(*carry), (a, b))


BASE = fingerprint_of(base, X, X, ROW)


def in_a_scope(x, w, b):
    with jax.named_scope("somewhere/else"):
        return base(x, w, b)


SAME = {
    "arguments in another order": (lambda b, w, x: base(x, w, b), ROW, X, X),
    "leaves sorted in another way": (lambda p: base(p["z"], p["y"], p["a"]), {"a": ROW, "y": X, "z": X}),
    "arguments renamed": (lambda inputs, kernel, bias: base(inputs, kernel, bias), X, X, ROW),
    "another scope in the metadata": (in_a_scope, X, X, ROW),
    "jitted inside, by another name": (lambda x, w, b: jax.jit(base)(x, w, b), X, X, ROW),
}

OTHER = {
    "another constant": (lambda x, w, b: jnp.tanh(x @ w + b) - 3.0 * w, X, X, ROW),
    "another operation": (lambda x, w, b: jnp.sin(x @ w + b) - 2.0 * w, X, X, ROW),
    "another shape": (base, jnp.ones((5, 5)), jnp.ones((5, 5)), jnp.ones((1, 5))),
    "another dtype": (base, X.astype("float16"), X.astype("float16"), ROW.astype("float16")),
    "one more product": (lambda x, w, b: base(x, w, b) @ x, X, X, ROW),
    "contracted over the other dimension of x": (lambda x, w, b: base(x.T, w, b), X, X, ROW),
    "contracted over the other dimension of w": (lambda x, w, b: jnp.tanh(x @ w.T + b) - 2.0 * w, X, X, ROW),
    "operands of the difference swapped": (lambda x, w, b: 2.0 * w - jnp.tanh(x @ w + b), X, X, ROW),
    "transposed result": (lambda x, w, b: base(x, w, b).T, X, X, ROW),
    "one more result": (lambda x, w, b: (base(x, w, b), x + 1), X, X, ROW),
    "one more argument": (lambda x, w, b, _: base(x, w, b) + _, X, X, ROW, jnp.ones((1, 1))),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_computation_has_the_same_fingerprint(name):
    assert fingerprint_of(*SAME[name]) == BASE


@pytest.mark.parametrize("name", OTHER)
def test_another_computation_has_another_fingerprint(name):
    assert fingerprint_of(*OTHER[name]) != BASE


def test_other_computations_differ_among_each_other():
    prints = [fingerprint_of(*case) for case in OTHER.values()]
    assert len(set(prints)) == len(prints)


def test_a_fingerprint_is_twelve_digits():
    assert re.fullmatch(r"[0-9a-f]{12}", BASE)


def test_the_order_of_results_does_not_count():
    assert fingerprint_of(two, X, X) == fingerprint_of(lambda x, w: two(x, w)[::-1], X, X)
    assert fingerprint_of(two, X, X) != fingerprint_of(lambda x, w: (jnp.sin(x) @ w, jnp.sin(w)), X, X)


def test_loops_are_told_apart_by_body_and_trip_count():
    def body(a, b):
        return jnp.sin(a) @ b, b + a

    found = fingerprint_of(loop(8, body), X, X)
    assert found == fingerprint_of(lambda b, a: loop(8, body)(a, b)[::-1], X, X)
    assert found != fingerprint_of(loop(9, body), X, X)
    assert found != fingerprint_of(loop(8, lambda a, b: (jnp.cos(a) @ b, b + a)), X, X)
    assert found != fingerprint_of(loop(8, lambda a, b: (jnp.sin(a) @ b, b - a)), X, X)
    assert found != fingerprint_of(loop(8, lambda a, b: (jnp.sin(a), b + a)), X, X)


def test_scans_over_the_same_leaves_in_another_order_are_the_same():
    def scan(p, x):
        return jax.lax.scan(lambda h, a: (jnp.tanh(h @ p["w"] + a + p["b"]), h), X, x)

    def renamed(p, x):
        return scan({"w": p["a"], "b": p["z"]}, x)

    x = jnp.ones((6, 4, 4))
    assert fingerprint_of(scan, {"w": X, "b": ROW}, x) == fingerprint_of(renamed, {"a": X, "z": ROW}, x)


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
    "backend's configuration": ('["2"]', '["3"]'),
    "operands in another order": ("dot(%sine, %w.1)", "dot(%w.1, %sine)"),
    "another operand": ("fusion(%dot.1)", "fusion(%sine)"),
}
EDITS_THAT_DO_NOT = {
    "metadata": ('op_name="jit(f)/tanh" stack_frame_id=5', 'op_name="vmap(g)/tanh" source_line=7'),
    "no metadata": (', metadata={op_name="jit(f)/tanh" stack_frame_id=5}', ""),
    "name of an instruction": ("%sine", "%sine.clone.2"),
    "name of a computation": ("%fused", "%fused_computation.3"),
    "name of the module": ("jit_f", "jit__lambda_"),
    "comment": ("/*index=1*/", ""),
    "order of instructions": (W + SINE, SINE + W),
    "order of results": ("tuple(%fusion, %sine)", "tuple(%sine, %fusion)"),
    "control dependencies": (SINE, SINE.replace("\n", ", control-predecessors={%w.1}\n")),
}


def edited(old, new):
    assert old in HLO
    return HLO.replace(old, new)


@pytest.mark.parametrize("what", EDITS_THAT_COUNT)
def test_what_counts_in_a_text(what):
    assert fingerprint(edited(*EDITS_THAT_COUNT[what])) != fingerprint(HLO)


@pytest.mark.parametrize("what", EDITS_THAT_DO_NOT)
def test_what_does_not_count_in_a_text(what):
    assert fingerprint(edited(*EDITS_THAT_DO_NOT[what])) == fingerprint(HLO)


def test_constants_that_xla_does_not_print_are_one():
    one, other = (np.arange(64, dtype=np.float32).reshape(8, 8) * factor for factor in (1, 2))
    x = jnp.ones((8, 8))
    prints = [read_program(jax.jit(lambda x, c=c: x + c).lower(x)).fingerprint for c in (one, other)]
    assert prints[0] == prints[1]


def test_which_of_two_alike_arguments_is_which_does_not_count():
    square, product = (lambda a, b: a * a + jnp.sin(b)), (lambda a, b: a * b + jnp.sin(b))
    assert fingerprint_of(square, X, X) == fingerprint_of(product, X, X)


def test_which_carried_array_is_which_does_not_count():
    ahead, behind = loop(8, lambda a, b: (b, jnp.sin(a) + b)), loop(8, lambda a, b: (jnp.sin(a) + b, a))
    assert fingerprint_of(ahead, X, X) == fingerprint_of(behind, X, X)


def test_braces_in_metadata_do_not_count():
    assert fingerprint(edited("jit(f)/tanh", "jit(f)/a{b}c/tanh")) == fingerprint(HLO)


def test_a_computation_of_another_thread_counts():
    def of_thread(operation):
        return HLO.replace("}\n\nENTRY", '}, execution_thread="parallel"\n\nENTRY').replace(" tanh(", f" {operation}(")

    assert fingerprint(of_thread("tanh")) != fingerprint(of_thread("cosine"))


@dataclass(frozen=True)
class Program:
    """A small known program and its counts."""

    function: Any
    dots: int = 0
    whiles: int = 0
    transposes: int = 0
    fusions: int | None = None


def two_loops(x):
    return loop(8, lambda a, b: (jnp.sin(a) @ b, b))(*loop(5, lambda a, b: (jnp.cos(a), b + a))(x, x))


PROGRAMS = {
    "nothing": Program(lambda x: x, fusions=0),
    "a product": Program(lambda x: x @ x, dots=1, fusions=0),
    "three products": Program(lambda x: x @ x @ x @ x, dots=3, fusions=0),
    "elementwise": Program(lambda x: jnp.tanh(x) * 2 + x, fusions=1),
    "a product in a loop": Program(lambda x: loop(8, lambda a, b: (jnp.sin(a) @ b, b))(x, x), dots=1, whiles=1),
    "two loops": Program(two_loops, dots=1, whiles=2),
    "a transposition": Program(lambda x: jnp.transpose(jnp.sin(x), (1, 0, 2)), transposes=1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_are_counted(name):
    program = PROGRAMS[name]
    x = jnp.ones((3, 4, 5)) if program.transposes else X
    facts = read_program(jax.jit(program.function).lower(x))
    assert (facts.dots, facts.whiles, facts.transposes) == (program.dots, program.whiles, program.transposes)
    assert program.fusions in (None, facts.fusions)


def test_xlas_own_analyses_are_kept():
    compiled = jax.jit(lambda x: jnp.sin(x) @ x).lower(X)
    facts = read_program(compiled)
    assert facts.temp_bytes == compiled.compile().memory_analysis().temp_size_in_bytes > 0
    # 4 x 4 sums of four products
    assert facts.xla_flops == pytest.approx(2 * 4**3)
    assert facts.xla_bytes == compiled.compile().cost_analysis()["bytes accessed"] > 0


class Without:
    """A compiled program of a backend that analyses nothing, and that calls a library for its products."""

    text = HLO.replace(SINE, '%sine = f32[4,4]{1,0} custom-call(%x.1), custom_call_target="__cublas$gemm"\n')

    def compile(self):
        return self

    def as_text(self):
        return self.text

    def cost_analysis(self):
        raise NotImplementedError

    def memory_analysis(self):
        return None


def test_a_librarys_products_count_and_analyses_may_be_missing():
    facts = read_program(Without())
    assert facts.dots == 2
    assert (facts.temp_bytes, facts.xla_flops, facts.xla_bytes) == (None, None, None)


@pytest.mark.parametrize("jit", [jax.jit, nnx.jit, eqx.filter_jit], ids=["jax", "nnx", "equinox"])
def test_each_frameworks_jit_can_be_read(jit):
    facts = read_program(jit(lambda x: jnp.tanh(x @ x) @ x).lower(X))
    assert facts.dots == 2
    assert facts.temp_bytes > 0


@pytest.fixture(scope="module")
def facts_of():
    """Program facts of arms of tiny/forward, each compiled once."""
    known = {}

    def read(port, style):
        if (port, style) not in known:
            ready = prepare(Arm("tiny", "forward", port, style))
            known[port, style] = read_program(ready.program.lower(*ready.arguments))
        return known[port, style]

    return read


@pytest.mark.parametrize("style", ["leaves", "pytree", "split-merge"])
def test_nnx_and_pure_share_one_program(facts_of, style):
    pure = facts_of("pure", "jit")
    assert facts_of("nnx", style) == pure
    assert (pure.dots, pure.whiles) == (2, 1)


def test_linens_program_is_another(facts_of):
    pure, linen = facts_of("pure", "jit"), facts_of("linen", "apply")
    assert linen.fingerprint != pure.fingerprint
    assert linen.dots == 6
    assert explain(linen, pure, (11, 5), 1e-6) == "another program: 6 dots; pure 2"


def emit(name, duration_s):
    jax.monitoring.record_event_duration_secs(f"/jax/core/compile/{name}", duration_s, fun_name="f")


def test_a_build_sums_what_jax_says_inside_and_nothing_after():
    emit("jaxpr_trace_duration", 100.0)
    with watch_build() as account:
        emit("jaxpr_trace_duration", 1.0)
        emit("jaxpr_trace_duration", 0.5)
        emit("jaxpr_to_mlir_module_duration", 2.0)
        emit("backend_compile_duration", 4.0)
        emit("another_duration", 8.0)
    emit("backend_compile_duration", 100.0)
    build = account(9.0)
    assert (build.trace_s, build.lower_s, build.compile_s, build.first_call_s) == (1.5, 2.0, 4.0, 9.0)


def test_jaxs_events_have_the_names_that_are_listened_for():
    seen = []

    def listen(event, duration_s, **_):
        seen.append((event.rpartition("/")[2], duration_s))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with watch_build() as account:
            jax.block_until_ready(jax.jit(lambda x: jax.jit(jnp.sin)(x) @ x + 0.123)(X))
        inside = dict(seen)
        jax.block_until_ready(jax.jit(lambda x: jnp.cos(x) @ x + 0.321)(X))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    build = account(1.0)
    assert build.trace_s == inside["jaxpr_trace_duration"] > 0
    assert build.lower_s == inside["jaxpr_to_mlir_module_duration"] > 0
    assert build.compile_s == inside["backend_compile_duration"] > 0


def stop_early():
    with watch_build():
        raise RuntimeError("stop")


def test_the_listener_goes_even_after_an_error():
    before = list(monitoring._event_duration_secs_listeners)
    with watch_build():
        assert len(monitoring._event_duration_secs_listeners) == len(before) + 1
    assert monitoring._event_duration_secs_listeners == before
    with pytest.raises(RuntimeError, match="stop"):
        stop_early()
    assert monitoring._event_duration_secs_listeners == before


PURE = ProgramFacts("a", 2, 7, 1, 4, 100, None, None)
EXPLAINED = [
    (None, PURE, 1e-6, "no XLA program to look at"),
    (PURE, None, 1e-6, "no XLA program to look at"),
    (PURE, PURE, 3e-6, "the same program: +3.0 µs a call for 17 leaves; pure 16"),
    (PURE, PURE, -3e-6, "the same program: -3.0 µs a call for 17 leaves; pure 16"),
    (PURE, PURE, 2e-3, "the same program: +2000.0 µs a call for 17 leaves; pure 16"),
    (PURE, PURE, 2.1e-3, "unexplained: the same program, +2100.0 µs a call"),
    (PURE, PURE, -2.1e-3, "unexplained: the same program, -2100.0 µs a call"),
    (ProgramFacts("b", 6, 7, 1, 4, 100, None, None), PURE, 1.0, "another program: 6 dots; pure 2"),
    (
        ProgramFacts("b", 6, 9, 0, 12, 100, None, None),
        PURE,
        1.0,
        "another program: 6 dots, 12 transposes, 0 whiles; pure 2, 4, 1",
    ),
    (
        ProgramFacts("b", 2, 9, 1, 4, 100, None, None),
        PURE,
        -5e-6,
        "another program of the same 2 dots, 9 fusions; pure 7: -5.0 µs a call",
    ),
    (ProgramFacts("b", 2, 7, 1, 4, 200, None, None), PURE, 5e-6, "another program of the same 2 dots: +5.0 µs a call"),
]


@pytest.mark.parametrize(("arm", "baseline", "difference_s", "expected"), EXPLAINED)
def test_a_difference_is_explained_by_the_programs(arm, baseline, difference_s, expected):
    assert explain(arm, baseline, (17, 16), difference_s) == expected


def test_what_the_boundary_may_cost_can_be_set():
    assert explain(PURE, PURE, (1, 1), 3e-6, dispatch_limit_s=2e-6).startswith("unexplained")
    assert explain(PURE, PURE, (1, 1), 3e-3, dispatch_limit_s=4e-3).startswith("the same program")

"""Of two programs that part, the line of the fault is named, and what would mend it.

A fault is a change of the text of a program: the first line that differs is to be among
the first two that are named.
"""

from itertools import count, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.compat import enable_x64
from trigru.common.parity.departure import (
    Search,
    Trial,
    first_that_mends,
    moved_starts,
)
from trigru.common.parity.places import places_of
from trigru.common.parity.statements import argument_at, makers
from trigru.common.program import CodeLine
from trigru.common.program.tape import TraceTape

RNG = np.random.default_rng(0)
X, W, U, V = (RNG.normal(size=shape) for shape in ((5, 6), (6, 6), (6, 6), (6, 3)))

NORMED = """
def model(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)
    return kept @ U
"""
RECURRENT = """
def model(x):
    def step(carry, x):
        h, c = carry
        new = jnp.tanh(x @ W + h @ U) + 0.5 * c
        h = jnp.tanh(new)
        return (h, new), h

    return jax.lax.scan(step, (jnp.zeros(6), jnp.zeros(6)), x)[1]
"""
SKIPPED = """
def model(x):
    h = jnp.tanh(x @ W)
    y = h + 0.5
    skip = y
    return jnp.concatenate([jnp.sin(y @ U), skip], axis=-1) @ jnp.concatenate([W, U])
"""
TWICE = """
def model(x):
    def half(x):
        return jnp.tanh(x * 0.5)

    a = half(x @ W)
    b = half(a @ U)
    return b @ W + 0 * a
"""
JOINED = """
def model(x):
    first, second = jnp.sin(x), jnp.cos(x)
    both = jnp.concatenate([first, second], axis=-1)
    return jnp.tanh(both @ np.concatenate([W, U]))
"""
AROUND = """
def model(x):
    y = x + (jnp.sin(x).T @ np.ones((5, 5)) / 5).T
    return jnp.tanh(y) @ W + jnp.square(y) @ U
"""
GATED = """
def model(x):
    h = jax.nn.sigmoid(x @ W)
    h = h @ V + 0.5
    return jnp.tanh(h)
"""
IN_A_LOOP = """
def model(x):
    def step(carry, x):
        h = jax.nn.sigmoid(x @ W)
        return carry, jnp.tanh(h @ V + 0.5)

    return jax.lax.scan(step, 0.0, x)[1]
"""
TRANSPOSED = """
def model(x):
    h = 1 / (1 + jnp.exp(-(W.T @ x.T)))
    return jnp.tanh(0.5 + (V.T @ h).T)
"""
FUSED = "def model(x):\n    return jnp.split(jnp.sin(x @ W), 2, axis=-1)\n"
APART = "def model(x):\n    return [jnp.sin(x @ W[:, :3]), jnp.sin(x @ W[:, 3:])]\n"


@pytest.fixture
def tape_of(tmp_path):
    def run(text, name):
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        scope = {"jax": jax, "jnp": jnp, "np": np, "W": W, "U": U, "V": V}
        exec(compile(text, str(path), "exec"), scope)
        with enable_x64(True):
            return TraceTape(jax.make_jaxpr(scope["model"])(X), [X[None]])

    return run


def search(first, second):
    return Search(
        first, second, list(zip(first.outputs, second.outputs, strict=True)), 1e-9
    )


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [(FUSED, APART), *product([GATED], [GATED, IN_A_LOOP, TRANSPOSED])],
)
def test_the_same_function_parts_nowhere(tape_of, reference, candidate):
    assert (
        list(
            places_of(
                search(tape_of(reference, "reference"), tape_of(candidate, "candidate"))
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("function", "apart"), [(lambda x, w: x @ w, 6), (lambda x, w: x @ w.T, 1)]
)
def test_a_product_tells_by_what_it_sums_how_a_square_weight_lies(function, apart):
    tape = TraceTape(
        jax.make_jaxpr(function)(np.float32(X), np.float32(W)), [X[None], W[None]]
    )
    distances = frozenset(range(0, 6 * apart, apart))
    assert tape.summed_over(tape.arguments[1]) == (distances,)


def test_a_product_over_two_axes_tells_all_numbers_over_which_it_sums():
    heads, weight = np.zeros((3, 2, 4)), np.zeros((2, 4, 5))
    trace = jax.make_jaxpr(lambda x, w: jnp.einsum("tnh,nho->to", x, w))(heads, weight)
    tape = TraceTape(trace, [heads[None], weight[None]])
    assert tape.summed_over(tape.arguments[1]) == (frozenset(range(0, 40, 5)),)


def test_a_step_may_have_more_operands_than_its_counterpart(tape_of):
    two = tape_of(
        "def model(x):\n    return jnp.concatenate([jnp.sin(x), jnp.cos(x)])\n",
        "reference",
    )
    three = tape_of(
        "def model(x):\n    return jnp.concatenate([jnp.sin(x), x, x])[:10]\n",
        "candidate",
    )
    (step,) = (step for step in three.steps if step.operation == "concatenate")
    assert [other.operation for other in search(two, three).counterparts(step)] == [
        "concatenate"
    ]


#: The text of a reference and of a candidate, what is changed in that, and how the
#: change is named.
@pytest.mark.parametrize(
    ("reference", "candidate", "old", "new", "change"),
    [
        (NORMED, NORMED, "1e-6", "1e-5", "1e-06 instead of 1e-05"),
        (
            NORMED,
            NORMED,
            "gelu(y)",
            "gelu(y, approximate=False)",
            "gelu by tanh instead of gelu by erf",
        ),
        (NORMED, NORMED, "1:2", "2:3", "entry 1 instead of 2 of axis 1"),
        (NORMED, NORMED, "weights >", "weights <", "`gt` instead of `lt`"),
        (NORMED, NORMED, "x @ W", "x @ W.T", "axes 0 and 1 of operand 2 exchanged"),
        (RECURRENT, RECURRENT, "(h, new), h", "(h, new), new", ""),
        (RECURRENT, RECURRENT, "tanh(new)", "tanh(c)", ""),
        (SKIPPED, SKIPPED, "skip = y", "skip = h", ""),
        (TWICE, TWICE, "half(a @ U)", "half(x @ U)", ""),
        (JOINED, JOINED, "[first, second]", "[second, first]", ""),
        (AROUND, AROUND, "y = x + (", "y = (", ""),
        (AROUND, AROUND, "+ jnp.square(y)", "- jnp.square(y)", "the other sign"),
        (
            GATED,
            GATED,
            "    h = h @ V",
            "    h = jnp.maximum(h, 0.4)\n    h = h @ V",
            "",
        ),
        (GATED, GATED, "    h = h @ V", "    h = h[:, ::-1]\n    h = h @ V", ""),
        (GATED, GATED, "h @ V + 0.5", "h @ V", ""),
        (GATED, IN_A_LOOP, "h @ V + 0.5", "h @ V * 0.9 + 0.5", ""),
    ],
)
def test_the_line_of_a_fault_is_among_the_first_two(
    tape_of, reference, candidate, old, new, change
):
    faulty = candidate.replace(old, new)
    line = next(
        n
        for n, (a, b) in enumerate(
            zip(candidate.split("\n"), faulty.split("\n"), strict=False), 1
        )
        if a != b
    )
    first, second = moved_starts(
        tape_of(reference, "reference"), tape_of(faulty, "candidate")
    )
    places = list(places_of(search(first, second)))
    assert line in [place.candidate.line for place in places[:2] if place.candidate]
    assert places[0].candidate.text in map(str.strip, faulty.split("\n"))
    if change:
        assert places[0].candidate.line == line
        assert places[0].mend == f"With {change}, the outputs agree."


def test_loops_of_both_start_from_the_same_numbers_that_are_not_zero(tape_of):
    tape, other = tape_of(RECURRENT, "reference"), tape_of(GATED, "candidate")
    first, second = moved_starts(tape, tape)
    assert not np.allclose(first.values[first.outputs[0]], tape.values[tape.outputs[0]])
    np.testing.assert_array_equal(
        first.values[first.outputs[0]], second.values[second.outputs[0]]
    )
    assert moved_starts(tape, other) == (tape, other)


def test_a_step_within_a_loop_knows_the_lines_outside_of_it(tape_of):
    step = next(
        step for step in tape_of(IN_A_LOOP, "model").steps if step.operation == "tanh"
    )
    own = [
        line.function.rpartition(".")[2]
        for line in step.lines()
        if line.file.endswith("model.py")
    ]
    assert own[:2] == ["step", "model"]


def test_a_module_is_made_where_the_keyword_of_the_operation_stands(tmp_path):
    text = (
        "class M:\n  def __init__(s):\n    s.a = A(\n      eps=1)\n\n  def f(s):\n "
        "   s.a()\n"
    )
    (tmp_path / "model.py").write_text(text)
    called = [CodeLine(str(tmp_path / "model.py"), 7, "M.f")]
    assert [
        [made.line for made in makers(called, operation)]
        for operation in ("add", "sin")
    ] == [[4], [3]]


def test_an_argument_is_made_where_its_variable_is_assigned_last(tmp_path):
    (tmp_path / "model.py").write_text(
        "made = sgd(1)\nmade = adam(1)\nModel(optimizer=made)\nmade = None\n"
    )
    assert (
        argument_at(
            CodeLine(str(tmp_path / "model.py"), 3, "<module>"), "optimizer"
        ).line
        == 2
    )


def test_a_constant_of_a_line_is_mended_wherever_it_is_used(tape_of):
    reference = tape_of(TWICE, "reference")
    candidate = tape_of(TWICE.replace("x * 0.5", "x * 0.75"), "candidate")
    place = next(places_of(search(reference, candidate)))
    assert place.mend == (
        "With 0.5 instead of 0.75 wherever this line is used, the outputs agree."
    )
    assert place.candidate.text == "return jnp.tanh(x * 0.75)"


def tried(search, most_work):
    """How many changes are tried that all mend nothing."""
    step = search.candidate.steps[0]
    (value,) = step.results
    wrong = np.zeros_like(search.candidate.values[value])
    numbers = count()
    trials = (Trial(step, {value: wrong}) for _ in numbers)
    assert first_that_mends(search, trials, most_work) is None
    return next(numbers) - 1


def test_a_search_for_a_mend_ends_after_so_much_work(tape_of):
    both = search(tape_of(NORMED, "first"), tape_of(RECURRENT, "second"))
    few = tried(both, 10_000_000)
    assert few > 1
    assert tried(both, 20_000_000) in (2 * few, 2 * few - 1)


def test_fewer_changes_of_a_larger_program_are_tried(tape_of):
    longer = NORMED.replace("return kept @ U", "return jnp.sin(kept @ U) @ W")
    wider = NORMED.replace("x @ W", "jnp.tile(x, (50, 1)) @ W")
    first = tape_of(RECURRENT, "first")
    counts = []
    for text in (NORMED, longer, wider):
        both = search(first, tape_of(text, "second"))
        counts.append(tried(both, 10_000_000))
    assert counts[0] > counts[1] > counts[2]

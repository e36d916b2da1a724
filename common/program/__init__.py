"""Evaluates a traced program in NumPy, equation by equation.

That takes less time than to compile the program.

Every array has one more axis in front, for several sets of values that are evaluated at
once. Its length is their number, or 1 where all sets have the same array. Calls (jit,
custom derivatives, remat) are entered, loops run step by step, and a primitive without
a rule in NumPy is handed to JAX, one equation at a time. What only a compiled program
shows is not seen here: what XLA does with it, memory, donation, devices.

Read `evaluator` first. It uses these modules:

- `interpreter`: functions, calls, loops and conditions.
- `how`: in which precision a trace is evaluated, and who observes it.
- `numpy_rules` and `by_jax`: one equation, by NumPy or by JAX.
- `sets`: arrays with an axis of sets.
- `code_lines`: the equations of a trace, and the lines of code that made them.

The comparison of two models uses these, too:

- `model`: a user's model.
- `tape`: all values that its program computes.
- `same_values`: the values of another program that are the same.
- `source`: the user's lines.
"""

from .code_lines import CodeLine, code_lines, equations, jax_line
from .evaluator import Evaluator, Traced, alternative, evaluate
from .how import wide
from .interpreter import scan_counts
from .sets import is_key

__all__ = [
    "CodeLine",
    "Evaluator",
    "Traced",
    "alternative",
    "code_lines",
    "equations",
    "evaluate",
    "is_key",
    "jax_line",
    "scan_counts",
    "wide",
]

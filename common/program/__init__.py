"""Evaluates programs that JAX has traced, in NumPy."""

from .evaluator import Evaluator, alternative, scan_counts
from .how import Observer, wide
from .sets import is_key, one_set
from .source import CodeLine, code_lines, equations, jax_line
from .traced import Traced, evaluate

__all__ = [
    "CodeLine",
    "Evaluator",
    "Observer",
    "Traced",
    "alternative",
    "code_lines",
    "equations",
    "evaluate",
    "is_key",
    "jax_line",
    "one_set",
    "scan_counts",
    "wide",
]

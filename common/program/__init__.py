"""Evaluates programs that JAX has traced, in NumPy."""

from .evaluator import Evaluator, Traced, alternative, evaluate
from .interpreter import Observer, scan_counts, wide
from .sets import is_key, one_set
from .source import CodeLine, code_lines, equations, jax_line

__all__ = [
    "CodeLine", "Evaluator", "Observer", "Traced", "alternative", "code_lines", "equations", "evaluate", "is_key",
    "jax_line", "one_set", "scan_counts", "wide",
]  # fmt: skip

"""Evaluates programs that JAX has traced, in NumPy."""

from .evaluator import Evaluator, Traced, alternative, evaluate
from .interpreter import scan_counts, wide
from .sets import is_key
from .source import CodeLine, code_lines, equations, jax_line

__all__ = [
    "CodeLine", "Evaluator", "Traced", "alternative", "code_lines", "equations", "evaluate", "is_key", "jax_line",
    "scan_counts", "wide",
]  # fmt: skip

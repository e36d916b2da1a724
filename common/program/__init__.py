"""Evaluates programs that JAX has traced, in NumPy."""

from .evaluator import Evaluator, Observer, scan_counts
from .sets import one_set
from .source import CodeLine, code_lines, equations
from .traced import Traced, evaluate

__all__ = [
    "CodeLine",
    "Evaluator",
    "Observer",
    "Traced",
    "code_lines",
    "equations",
    "evaluate",
    "one_set",
    "scan_counts",
]

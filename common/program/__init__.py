"""Evaluates programs that JAX has traced, in NumPy."""

from .evaluator import Evaluator, Observer, one_set, scan_counts
from .source import CodeLine, code_lines
from .traced import Traced, evaluate

__all__ = ["CodeLine", "Evaluator", "Observer", "Traced", "code_lines", "evaluate", "one_set", "scan_counts"]

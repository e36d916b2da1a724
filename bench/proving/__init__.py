"""Equality in child processes: which questions are asked, and of what, by name."""

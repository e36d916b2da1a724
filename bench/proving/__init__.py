"""Equality in child processes: questions by name, and their answers."""

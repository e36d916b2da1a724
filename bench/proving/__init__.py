"""Equality in child processes: questions by name, their answers, and proofs that are kept."""

"""The record of a GRU's parameters, and their layouts in frameworks and files."""

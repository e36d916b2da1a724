"""The protocol of ports, their call styles and tasks, and reading the programs that XLA
made of them.
"""

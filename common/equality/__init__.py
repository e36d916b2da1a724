"""Is it the same function? The oracle, the cases and checks that ports are held to, and
the bounds of what passes.
"""

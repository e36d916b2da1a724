"""Whether a port keeps the whole contract: every pair of its factors' levels, in rows
of a covering design.
"""

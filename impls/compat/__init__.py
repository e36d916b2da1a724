"""Functions that older versions of a framework name otherwise, one module a framework; for a port's adapter half.

The classes that a reader copies are today's idiom.
"""

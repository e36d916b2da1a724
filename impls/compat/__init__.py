"""What older versions of a framework call otherwise, one module a framework; for the half of a port that adapts it.

The classes that a reader copies are today's idiom.
"""

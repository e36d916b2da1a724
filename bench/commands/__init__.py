"""The commands of `trigru`, one in each module: each prints its answer, writes its
files and picks the exit code.
"""

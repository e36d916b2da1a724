"""The record of a run, in memory and on disk.

It is data only, and all other rooms of `trigru.bench` build on it.
"""

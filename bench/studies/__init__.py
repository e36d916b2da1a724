"""Comparisons that others made in public, and a program as others write it, measured like for like.

`python -m trigru.bench.studies NAME FILE` proves the arms of a study equal, times them and writes the record from which
a page of the docs is generated. A study is a row of `trigru.bench.studies.study.STUDIES`.
"""

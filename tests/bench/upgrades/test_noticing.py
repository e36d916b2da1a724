"""Warnings and exceptions, as a snapshot keeps them."""

import json

from trigru.bench.upgrades.noticing import survived
from trigru.bench.upgrades.record import Subject


def test_the_place_of_a_problem_is_where_it_was_raised():
    subject = Subject("pure", "pure")
    with survived(subject, "values", "jit"):
        json.loads("{")
    (problem,) = subject.problems
    assert (problem.fact, problem.where, problem.error) == ("values", "jit", "JSONDecodeError")
    assert problem.place.startswith("json/decoder.py: ")

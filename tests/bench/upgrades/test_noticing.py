"""Warnings and exceptions, as a snapshot keeps them."""

import json
import warnings

import pytest
from trigru.bench.upgrades import noticing
from trigru.bench.upgrades.noticing import noticed, place_of, survived
from trigru.bench.upgrades.record import Subject


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/home/me/.venv/lib/python3.13/site-packages/flax/nnx/graph.py", "flax/nnx/graph.py"),
        ("/usr/lib/python3/dist-packages/flax/nnx/graph.py", "flax/nnx/graph.py"),
        ("/usr/lib/python3.12/json/decoder.py", "json/decoder.py"),
        (noticing.__file__, "trigru/bench/upgrades/noticing.py"),
        ("/home/me/secret/train.py", "train.py"),
        ("<string>", "<string>"),
        ("train.py", "train.py"),
    ],
)
def test_a_place_begins_with_its_package_and_identifies_no_user(file, place):
    assert place_of(file) == place


def test_each_warning_is_kept_once_in_order_without_addresses_also_of_what_fails():
    subject = Subject("pure", "pure", warnings={"at import, a.py": ["UserWarning: earlier"]})

    def warn_and_fail():
        for number in range(2):
            warnings.warn(f"z of <object at 0x7f00000{number}>\nand more", UserWarning, stacklevel=1)
        for _ in range(2):
            warnings.warn("a", FutureWarning, stacklevel=1)
        warnings.warn("y" * 201, UserWarning, stacklevel=1)
        raise KeyError("later")

    with survived(subject, "values"), noticed(subject, "make"):
        warn_and_fail()
    assert subject.warnings == {
        "at import, a.py": ["UserWarning: earlier"],
        f"at make, {place_of(__file__)}": [
            "FutureWarning: a", f"UserWarning: {'y' * 200}…", "UserWarning: z of <object at 0x…>"
        ],
    }  # fmt: skip
    assert subject.problems == {"values": f"KeyError in {place_of(__file__)}: warn_and_fail: 'later'"}


def test_an_exception_is_kept_by_its_place_and_the_first_line_and_the_rest_goes_on():
    subject = Subject("pure", "pure")
    with survived(subject, "values", "jit"):
        json.loads("{")
    assert subject.problems["values jit"].startswith("JSONDecodeError in json/decoder.py: raw_decode: Expecting ")
    for number, message in enumerate(("<f at 0xdeadbeef> broke\nat length", "x" * 201)):
        with survived(subject, "calls", number):
            raise ValueError(message)
    said = [text.rpartition(": ")[2] for text in subject.problems.values()]
    assert said[1:] == ["<f at 0x…> broke", "x" * 200 + "…"]
    with pytest.raises(KeyboardInterrupt), survived(subject, "calls"):
        raise KeyboardInterrupt
    assert len(subject.problems) == 3

"""Every example in a docstring runs."""

import doctest
import importlib

import pytest


@pytest.mark.usefixtures("unchecked")
def test_examples(module_name):
    found = doctest.testmod(importlib.import_module(module_name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0

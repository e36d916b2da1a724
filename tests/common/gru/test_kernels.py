"""Kernels by name."""

import re

import pytest
from trigru.common.errors import InputError
from trigru.common.gru.kernels import FusedKernel, fused_kernel


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("stock", None),
        ("fused", FusedKernel(save="all", hoist=False, chunk=None, unroll=None)),
        ("fused@save=some", FusedKernel(save="some")),
        ("fused@save=none,chunk=16", FusedKernel(save="none", chunk=16)),
        ("fused@hoist=true,unroll=4", FusedKernel(hoist=True, unroll=4)),
        ("fused@hoist=false", FusedKernel()),
    ],
)
def test_a_name_holds_the_choices(name, kernel):
    assert fused_kernel(name) == kernel


@pytest.mark.parametrize(
    "name", ["", "fast", "Fused", "fused@", "fused@steps=3", "fused @chunk=2", "stock@save=none", "fused,save=none"]
)
def test_other_names_are_refused(name):
    with pytest.raises(
        InputError, match=re.escape(f"kernel is {name!r}, expected stock, fused, or fused with some of")
    ):
        fused_kernel(name)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("save=most", "save is 'most', expected one of all, some, none"),
        ("save=true", "save is True, expected one of all, some, none"),
        ("hoist=1", "hoist is 1, expected True or False"),
        ("hoist=yes", "hoist is 'yes', expected True or False"),
        ("chunk=0", "chunk is 0, expected a whole number of at least 1"),
        ("chunk=-4", "chunk is '-4', expected a whole number of at least 1"),
        ("chunk", "chunk is '', expected a whole number of at least 1"),
        ("unroll=1.5", "unroll is '1.5', expected a whole number of at least 1"),
        ("save=none@chunk=3", "save is 'none@chunk=3', expected one of all, some, none"),
        ("chunk=3,chunk=4", "kernel is 'fused@chunk=3,chunk=4', which says chunk twice"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_other_choices_are_refused(choice, message):
    with pytest.raises(InputError, match=re.escape(message)):
        fused_kernel(f"fused@{choice}")


def test_remat_saves_nothing_whatever_the_name_says():
    assert fused_kernel("fused@save=all,hoist=true,chunk=4", remat=True) == FusedKernel("none", hoist=True, chunk=4)
    assert fused_kernel("stock", remat=True) is None

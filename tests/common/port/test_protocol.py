"""What stands between ports and JAX: a port with one kernel, arrays of one's own, kept
programs, and listeners.
"""

import os

import jax
import numpy as np
import pytest
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, UnknownNameError
from trigru.common.parameters.record import random_params
from trigru.common.port import compilation
from trigru.common.port.compilation import programs_kept_in
from trigru.common.port.protocol import CallStyle, WithKernel, own_array
from trigru.impls.pure import PORT, PurePort


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_every_model_has_the_kernel_whatever_the_configuration_says(kernel):
    config = GRUConfig(2, 3, kernel="stock" if kernel == "fused" else "fused")
    port = WithKernel(WithKernel(PORT, "fused"), kernel)
    for model in (
        port.make(config, jax.random.key(0)),
        port.load(config, random_params(config)),
    ):
        assert (model.kernel, port.kernel, port.name) == (kernel, kernel, "pure")


def test_a_kernel_that_the_port_does_not_offer_is_refused():
    class Stock(PurePort):
        kernels = ("stock",)

    with pytest.raises(InputError, match="pure has no kernel 'fused'. It has: stock"):
        WithKernel(Stock(), "fused")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("labels", [("leaves", "quick"), "leaves"])
def test_a_label_that_no_call_style_has_is_refused(labels):
    with pytest.raises(
        UnknownNameError,
        match=r"unknown label of call style mine '(quick|l)'\. Known: documented, ",
    ):
        CallStyle("mine", "f(x)", lambda *_: None, labels=labels)


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_an_own_array_has_its_own_memory(size):
    given = np.zeros(size, np.float32)
    own = own_array(given)
    given[:] = 1
    assert not np.asarray(own).any()
    assert (own.dtype, own.shape) == (np.float32, (size,))
    assert own_array(own) is own


@pytest.fixture
def folder(tmp_path):
    for number in range(10):
        entry = tmp_path / f"jit_f-{number}-cache"
        entry.write_bytes(b"x" * 100)
        os.utime(entry, (1000 + number, 1000))
    return tmp_path


@pytest.mark.parametrize(
    ("most", "left"),
    [(1000, range(10)), (999, [0, *range(4, 10)]), (500, [0, 7, 8, 9]), (1, [])],
)
def test_a_folder_that_is_too_large_loses_what_was_used_longest_ago(
    folder, monkeypatch, most, left
):
    monkeypatch.setattr(compilation, "CACHE_BYTES", most)
    os.utime(folder / "jit_f-0-cache", (5000, 1000))  # read lately
    with programs_kept_in(folder):
        pass
    assert sorted(
        int(path.name.split("-")[1]) for path in folder.glob("*-cache")
    ) == list(left)


def test_an_empty_program_goes_and_one_that_another_process_removed_costs_nothing(
    folder,
):
    (folder / "jit_f-0-cache").write_bytes(b"")
    (folder / "jit_gone-cache").symlink_to(
        folder / "nowhere"
    )  # as one that is removed after it was listed
    with programs_kept_in(folder):
        assert not (folder / "jit_f-0-cache").exists()

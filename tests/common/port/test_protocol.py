"""A port with one kernel is that port, and every model of it has that kernel."""

import jax
import numpy as np
import pytest
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError
from trigru.common.parameters.record import random_params
from trigru.common.port.protocol import WithKernel, own_array
from trigru.impls.pure import PORT, PurePort


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_every_model_has_the_kernel_whatever_the_configuration_says(kernel):
    config = GRUConfig(2, 3, kernel="stock" if kernel == "fused" else "fused")
    port = WithKernel(WithKernel(PORT, "fused"), kernel)
    for model in (port.make(config, jax.random.key(0)), port.load(config, random_params(config))):
        assert (model.kernel, port.kernel, port.name) == (kernel, kernel, "pure")


def test_a_kernel_that_the_port_does_not_offer_is_refused():
    class Stock(PurePort):
        kernels = ("stock",)

    with pytest.raises(InputError, match="pure has no kernel 'fused'. It has: stock"):
        WithKernel(Stock(), "fused")


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_an_own_array_has_its_own_memory(size):
    given = np.zeros(size, np.float32)
    own = own_array(given)
    given[:] = 1
    assert not np.asarray(own).any()
    assert (own.dtype, own.shape) == (np.float32, (size,))
    assert own_array(own) is own

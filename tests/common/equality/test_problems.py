"""What an exception of a port says: of models that JAX cannot take, that they are not offered, and nothing else so."""

import jax
import pytest
from trigru.common.equality.problems import LONGEST_REASON, problem_of
from trigru.impls import get_port
from trigru.impls.pure import PurePort


class Opaque(PurePort):
    """Models that are no pytrees, as NNX's before Flax 0.12."""

    def load(self, config, params):
        return object()


class Broken(PurePort):
    def load(self, config, params):
        raise TypeError("Error interpreting argument to load")


def error_of(model):
    with pytest.raises(TypeError) as raised:
        jax.jit(lambda model: 0)(model)
    return raised.value


@pytest.mark.parametrize(
    ("port", "error", "said"),
    [
        (
            Opaque(),
            None,
            "not offered: a model that is a pytree, with the installed versions of jax, jaxlib (TypeError: ",
        ),
        (Opaque(), TypeError("got an unexpected keyword argument 'lengths'"), "TypeError: got an unexpected"),
        (Opaque(), ValueError("shapes"), "ValueError: shapes"),
        (get_port("pure"), None, "TypeError: "),
        (Broken(), None, "TypeError: "),
    ],
)
def test_what_is_said(port, error, said):
    assert problem_of(port, error or error_of(object())).startswith(said)


def test_it_is_short():
    assert len(problem_of(get_port("pure"), ValueError("x" * 999))) < LONGEST_REASON + 30

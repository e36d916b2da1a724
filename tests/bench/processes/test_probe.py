"""Whether JAX starts is tried before anything depends on it, and what it says is one sentence."""

import os

import pytest
from trigru.bench.processes import probe
from trigru.bench.processes.probe import JaxEnvironmentError, check_jax


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """An environment that says nothing about JAX."""
    for name in list(os.environ):
        if name.startswith(("JAX_", "XLA_", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LIBTPU_")):
            monkeypatch.delenv(name)
    probe._try.cache_clear()


def never(*_):
    pytest.fail("it was tried")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("JAX_PLATFORMS", "cuda", ""),  # without a GPU, JAX may raise an error without a word
        ("JAX_ENABLE_X64", "perhaps", "perhaps"),
        ("XLA_FLAGS", "--xla_no_such_flag=1", "xla_no_such_flag"),  # which aborts
    ],
)
def test_a_bad_setting_is_one_sentence(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(JaxEnvironmentError) as raised:
        check_jax()
    start, _, message = str(raised.value).partition(": ")
    assert start == f"JAX does not start with {name}={value}"
    assert said in message > ""
    assert "\n" not in message


def test_good_settings_are_tried_once_and_none_never(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(probe, "lines_of", never)
        check_jax()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()
    monkeypatch.setattr(probe, "lines_of", never)
    check_jax()


def test_a_jax_that_never_starts_is_given_up(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(probe, "LIMIT_S", 0.2)
    with pytest.raises(JaxEnvironmentError, match=r": said nothing for 0\.2 s, and was ended"):
        check_jax()

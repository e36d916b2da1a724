"""Whether JAX starts is tried before anything depends on it, and what it says is one sentence."""

import os

import pytest
from trigru.bench.processes import probe
from trigru.bench.processes.child import lines_of
from trigru.bench.processes.probe import JaxEnvironmentError, check_jax


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """An environment that says nothing about JAX."""
    for name in list(os.environ):
        if name.startswith(("JAX_", "XLA_", "TF_XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LIBTPU_")):
            monkeypatch.delenv(name)
    probe._try.cache_clear()


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
    tried = []
    monkeypatch.setattr(probe, "lines_of", lambda *request: tried.append(request) or lines_of(*request))
    check_jax()
    assert not tried
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    check_jax()
    check_jax()
    assert len(tried) == 1


def test_a_jax_that_never_starts_is_given_up(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(probe, "LIMIT_S", 0.2)
    with pytest.raises(JaxEnvironmentError, match=r": said nothing for 0\.2 s, and was ended"):
        check_jax()

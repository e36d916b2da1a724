"""Finding ports: ours, third parties', and those whose framework is missing."""

from types import SimpleNamespace

import pytest
from support.cli import run_code
from trigru import impls
from trigru.common.errors import UnknownNameError
from trigru.impls import get_port, get_style, port_names, unavailable
from trigru.impls.pure import PORT, PurePort


def test_an_unknown_port_lists_the_known():
    with pytest.raises(UnknownNameError, match="unknown port 'haiku'. Known: pure, linen, nnx, equinox"):
        get_port("haiku")
    with pytest.raises(UnknownNameError, match="unknown call style of pure 'pmap'. Known: jit"):
        get_style(PORT, "pmap")


@pytest.fixture
def third_party(monkeypatch):
    """Lets packages elsewhere add ports: by name, the function that loads each."""

    def add(**load):
        entries = {name: SimpleNamespace(load=of_one) for name, of_one in load.items()}
        monkeypatch.setattr(impls, "_third_party", lambda: entries)

    monkeypatch.setattr(impls, "get_port", get_port.__wrapped__)
    return add


def test_a_third_partys_port_comes_last(third_party):
    class Third(PurePort):
        name = "a_new_one"

    third_party(a_new_one=lambda: Third(), pure=lambda: Third())
    assert port_names() == ["pure", "linen", "nnx", "equinox", "a_new_one"]
    assert impls.get_port("pure") is PORT, "a third party took the baseline's place"
    assert impls.get_port("a_new_one").name == "a_new_one"


LACKING = SimpleNamespace(**{name: getattr(PORT, name) for name in dir(PORT) if name[0] != "_"} | {"name": "mine"})
del LACKING.step


def break_off():
    raise AttributeError("no PORT there")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (lambda: PORT, "it calls itself 'pure'; both must agree."),
        (lambda: PurePort, "its entry point gives a class, expected an object."),
        (lambda: LACKING, "port mine lacks step, which trigru.common.Port needs."),
        (break_off, "AttributeError: no PORT there"),
    ],
    ids=["of another name", "a class", "without a method", "broken"],
)
def test_a_third_partys_port_that_cannot_be_used_is_unavailable(third_party, load, reason):
    third_party(mine=load)
    assert unavailable("mine") == f"port 'mine' is not available: {reason}"


def test_a_missing_framework_takes_its_own_port_and_no_other():
    code = "import sys; sys.modules['equinox'] = None; from trigru.impls import port_names, unavailable; "
    reasons = eval(run_code(code + "print({name: unavailable(name) for name in port_names()})"))
    missing = 'equinox is not installed: pip install "trigru[equinox]" brings it.'
    assert reasons.pop("equinox") == f"port 'equinox' is not available: {missing}"
    assert reasons == {"pure": None, "linen": None, "nnx": None}

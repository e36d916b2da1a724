"""Compiled programs that are kept from one command to the next."""

import os

import jax
import pytest
from trigru.bench.proving import questions
from trigru.bench.proving.compiled_programs import programs_folder
from trigru.bench.proving.messages import PortId
from trigru.bench.proving.prover import Prover
from trigru.bench.proving.questions import expand
from trigru.common.equality.checks import DTYPES, get_checks


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of a user without kept programs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRIGRU_NO_CACHE", raising=False)
    return programs_folder()


def test_the_folder_is_the_users_own(folder, tmp_path):
    assert folder.parent == tmp_path / "trigru" / "programs"


def test_a_variable_turns_it_off(folder, monkeypatch):
    monkeypatch.setenv("TRIGRU_NO_CACHE", "1")
    assert programs_folder() is None


def test_where_others_can_write_no_program_is_taken(folder):
    folder.chmod(0o777)
    assert programs_folder() is None, "who can write there can run code here"


def proven():
    """How many programs a proof compiles, and how many it finds compiled."""
    jax.clear_caches()
    counted = expand([PortId("pure")], DTYPES, get_checks("counted"))
    with Prover() as prover:
        proven = prover.prove(counted, lambda done, question: None)
    assert all(m.passed for m in proven.measurements)
    return proven.compiled, proven.reused


def damage(file):
    file.write_bytes(b"damaged")


@pytest.mark.parametrize("harm", [damage, os.remove], ids=["bits", "gone"])
def test_damaged_programs_cost_time_alone(harm, folder, monkeypatch):
    monkeypatch.setattr(questions, "LEAST_KEPT_S", 0.0)
    proven()
    compiled, reused = proven()
    assert compiled == 0
    assert reused > 0
    for file in folder.glob("*-cache"):
        harm(file)
    assert proven() == (reused, 0)
    proven()
    assert proven() == (0, reused), "what was damaged is replaced"

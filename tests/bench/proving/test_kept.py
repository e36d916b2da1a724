"""A proof is kept under all that it depends on, and taken only where nothing of that changed."""

import os
import sys
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
from support.files import at, rewrite
from trigru.bench.commands import verify as verifying
from trigru.bench.proving import kept as keeping
from trigru.bench.proving.kept import digest_of, keep, kept
from trigru.bench.proving.prover import PortId, Prover, QuestionId
from trigru.common.equality.checks import get_checks
from trigru.common.equality.measurement import Measurement

PASSED = Measurement("pure", "life", None, "GRU: loaded", "float64", 1e-16, 1e-12)
PURE = PortId("port", "pure")
LIFE = [QuestionId(PURE, "life")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "cache_folder", lambda _: tmp_path)
    monkeypatch.setenv("TRIGRU_NO_CACHE", "1")  # of programs
    monkeypatch.setattr(keeping, "digest", lambda: "as it is")
    monkeypatch.setattr(keeping, "find_spec", lambda name: None)  # no accelerator
    monkeypatch.setattr(
        keeping, "expand", lambda subjects, *_: [QuestionId(subjects[0], "life", None)]
    )
    return tmp_path


def test_a_proof_that_is_kept_comes_back_unless_it_was_changed(folder):
    assert kept(PURE, LIFE) is None
    keep(PURE, "cpu", [PASSED], LIFE)
    assert kept(PURE, LIFE).measurements == [PASSED]
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes().replace(b"1e-16", b"2e-16"))
    assert kept(PURE, LIFE) is None


OTHER_FACTS = {"check": "golden", "dtype": "float32", "style": "magic", "port": "linen"}


def test_what_is_no_whole_proof_of_our_own_port_on_a_cpu_is_not_kept():
    for subject, backend, measurements in (
        (PURE, "gpu", [PASSED]),
        (PURE, None, [PASSED]),
        (PortId("port", "a stranger's"), "cpu", [PASSED]),
        (PortId("fault", "no-b-hn"), "cpu", [PASSED]),
        (PURE, "cpu", []),
        (PURE, "cpu", [PASSED, PASSED]),
        (PURE, "cpu", [PASSED, replace(PASSED, error=1e-11)]),
        (PURE, "cpu", [PASSED, replace(PASSED, check="magic")]),
        (PURE, "cpu", [replace(PASSED, error=None, problem="not offered: lengths")]),
        (PURE, "cpu", [replace(PASSED, error=1e200, bound=1e300)]),
        *(
            (PURE, "cpu", [replace(PASSED, **{name: value})])
            for name, value in OTHER_FACTS.items()
        ),
    ):
        keep(subject, backend, measurements, LIFE)
        assert kept(subject, LIFE) is None, (subject, backend, measurements)


def test_another_kernel_or_code_or_an_accelerator_has_no_part_in_it(monkeypatch):
    keep(PURE, "cpu", [PASSED], LIFE)
    assert kept(PortId("port", "pure", "fused"), LIFE) is None
    for name, other in (
        ("digest", lambda: "changed"),
        ("find_spec", lambda name: name == "jax_plugins" or None),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(keeping, name, other)
            assert kept(PURE, LIFE) is None


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("measurements 0", {"error": 1e-11}),
        ("", {"when": "yesterday"}),
        ("", {"digest": "as it was"}),
        ("measurements *", {"port": "nnx"}),
        ("", lambda proof: proof.pop("measurements")),
    ],
)
def test_a_proof_of_something_else_is_none(place, change, folder):
    keep(PURE, "cpu", [PASSED], LIFE)
    (file,) = folder.iterdir()
    rewrite(file, at(place, change))
    assert kept(PURE, LIFE) is None


def test_the_date_of_a_proof_is_in_its_file(folder):
    keep(PURE, "cpu", [PASSED], LIFE)
    (file,) = folder.iterdir()
    rewrite(file, at("", {"when": "2026-01-31T12:00:00+00:00"}))
    assert kept(PURE, LIFE).when == "2026-01-31T12:00:00+00:00"


def test_the_oldest_proofs_go(folder, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_KEPT", 3)
    for number in range(6):
        monkeypatch.setattr(keeping, "digest", lambda number=number: str(number))
        keep(PURE, "cpu", [PASSED], LIFE)
        for file in folder.iterdir():
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 10))
    assert len(list(folder.iterdir())) == 3
    assert kept(PURE, LIFE) is not None


@pytest.fixture
def environment(tmp_path):
    """Places that Python imports from: trigru's own, JAX's, and another package's."""
    for name in (
        "own/port.py",
        *(
            f"site/{name}"
            for name in (
                "jax/core.py",
                "jax/core.so",
                "other/code.py",
                "jax-1.dist-info/METADATA",
            )
        ),
    ):
        touch(tmp_path / name, "x = 1")
    variables = {"JAX_ENABLE_X64": "0", "HOME": "/h"}
    return {
        "environment": variables,
        "search": [str(tmp_path / "site")],
        "own": [tmp_path / "own"],
    }


def touch(path, text):
    """Write a file anew, at the time of before."""
    before = path.stat() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


#: What a proof depends on, and how it may change: a file's new text, another value of a module's attribute, or a
#: change of what is given.
CHANGES = {
    "own/port.py": "x = 2",
    "own/rows.json": "{}",
    "site/jax/core.py": "x = 2",  # of the same size and time
    "site/jax/core.so": "longer than before",
    "site/other/code.py": "longer than before",
    "site/sitecustomize.py": "",
    "site/more.pth": "/elsewhere",
    "site/jax-1.dist-info/METADATA": "Version: 2",
    "a file's time": lambda place, given: os.utime(
        place / "site/other/code.py", (1, 1)
    ),
    "a module that is gone": lambda place, given: (
        place / "site/other/code.py"
    ).unlink(),
    "where modules are looked for": lambda place, given: given["search"].append(
        str(place / "own")
    ),
    "a setting of JAX": lambda place, given: given["environment"].update(
        JAX_ENABLE_X64="1"
    ),
    "threads": lambda place, given: given["environment"].update(OMP_NUM_THREADS="1"),
    "version": (sys, "other"),
    "executable": (sys, "other"),
    "flags": (sys, SimpleNamespace(safe_path=sys.flags.safe_path, optimize=2)),
    "machine": (keeping.platform, lambda: "other"),
    "libc_ver": (keeping.platform, lambda: "other"),
    "processor": (keeping, lambda: "other"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_of_what_a_proof_depends_on_is_seen(
    what, environment, tmp_path, monkeypatch
):
    monkeypatch.setattr(keeping, "digest", cache(lambda: digest_of(**environment)))
    before = keeping.digest()
    assert keeping.nothing_changed()
    change = CHANGES[what]
    if isinstance(change, str):
        touch(tmp_path / what, change)
    elif isinstance(change, tuple):
        monkeypatch.setattr(change[0], what, change[1])
    else:
        change(tmp_path, environment)
    assert digest_of(**environment) != before
    assert not keeping.nothing_changed()


def test_what_changes_nothing_is_no_part_of_it(environment, tmp_path):
    before = digest_of(**environment)
    environment["environment"] |= {
        "HOME": "other",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }  # memory of a GPU
    touch(tmp_path / "site/jax/__pycache__/core.pyc", "compiled")
    touch(tmp_path / "site/other/readme.md", "text")
    assert digest_of(**environment) == before
    assert {path.name for path in keeping.own_roots()} >= {
        "common",
        "impls",
        "bench",
    }, "trigru's own are read whole"


def test_the_current_folder_is_part_of_it_where_pythonpath_has_it(
    environment, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    environment["search"] = [str(tmp_path / "here"), *environment["search"]]
    for path, is_part in (("", False), (str(tmp_path / "here"), True)):
        environment["environment"]["PYTHONPATH"] = path
        before = digest_of(**environment)
        touch(tmp_path / "here/jax.py", f"# mine {path}")
        assert (digest_of(**environment) != before) is is_part


def test_a_proof_of_fewer_questions_is_kept_for_these_alone(tmp_path, monkeypatch):
    some = {"checks": get_checks("life"), "styles": {"forward": None}}
    monkeypatch.setattr(keeping, "nothing_changed", lambda: True)
    monkeypatch.setattr(
        keeping,
        "expand",
        lambda _, dtypes, checks, *__: [QuestionId(PURE, c.name) for c in checks],
    )
    prover, asked = Prover(), []
    prover.programs, prover.backend = tmp_path, "cpu"
    monkeypatch.setattr(
        prover, "prove", lambda questions, _: asked.append(questions) or [PASSED]
    )
    for _ in range(2):
        assert verifying.verify_ports(("pure",), ("float64",), **some, prover=prover)[
            0
        ] == [PASSED]
    (questions,) = asked
    assert kept(PURE, questions) is not None
    assert kept(PURE, [*questions, QuestionId(PURE, "golden")]) is None


class NoProver(Prover):
    """A prover that is asked nothing."""

    def prove(self, questions, progress):
        if questions:
            raise AssertionError(f"{len(questions)} questions were asked")
        return super().prove(questions, progress)


def test_a_command_takes_a_proof_that_is_kept_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(verifying, "say", said.append)
    keep(PURE, "cpu", [PASSED], LIFE)
    found, _ = verifying.verify_ports(("pure",), verifying.DTYPES, prover=NoProver())
    assert found == [PASSED]
    assert "by the same code; --anew proves again" in said[0]
    some = {"checks": get_checks("styles"), "styles": {"forward": None}}
    assert verifying.verify_ports(("pure",), ("float64",), **some, prover=NoProver())[
        0
    ] == [PASSED]
    for dtypes, anew in ((verifying.DTYPES, True), (("float64",), False)):
        with pytest.raises(AssertionError, match="questions were asked"):
            verifying.verify_ports(("pure",), dtypes, anew=anew, prover=NoProver())

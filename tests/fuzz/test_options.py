"""Values of options and of the environment that nobody means: an answer, or a sentence and exit code 2."""

import os
import subprocess
import sys

import pytest
from support.cli import call
from support.runs import draw_run, save
from trigru.bench.commands import compare, verify
from trigru.bench.proving import prover

# fmt: off
NUMBERS = (
    "-1", "0", "1e999", "nan", "inf", "-inf", "", "abc", "9" * 400, "1.5", "0x10", "１２", "1_000", " 5 ", "\x1b[31m",
)
NAMES = (
    "", " ", "nope", "é", "日本", "\x1b[31mred", "a" * 5000, "../..", "pure\n", "PURE", "-", "@", "=", "%s",
    "[bold]x[/]", "\u202e", "tiny@hidden=0", "hidden=1,,2", "fused@save=", "stock@x=1",
)
FOLDERS = (
    "", " ", "a" * 300, "a/" * 3000, "file", "file/x", "/dev/null/x", "/proc/x", "é", "\x1b[31m", "~", "loop",
    "to-file", "dangling", "\0", "-",
)
# fmt: on
OPTIONS = {
    ("compare",): {
        NUMBERS: ("--processes",),
        NAMES: ("--port", "--workload", "--phase", "--style", "--kernel", "--size"),
        FOLDERS: ("--output",),
    },
    ("verify",): {NAMES: ("--port", "--dtype", "--check", "--kernel")},
    ("diff", "results.json", "results.json"): {NUMBERS: ("--fail-above",)},
    ("diff", "results.json"): {FOLDERS: ("",)},
    ("report",): {FOLDERS: ("",)},
    ("convert", "file.eqx"): {NAMES: ("--to",), FOLDERS: ("",)},
    ("convert", "file.eqx", "x.eqx"): {NAMES: ("--to",)},
}
CASES = [
    (command, option, values)
    for command, options in OPTIONS.items()
    for values, names in options.items()
    for option in names
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with files in the way. What takes long is not done."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setattr(compare, "compare", lambda *_, **__: None)
    monkeypatch.setattr(prover, "cores", lambda: 1)  # no processes early
    monkeypatch.setattr(verify, "verify_ports", lambda *_, **__: ([], {}))
    save(draw_run(1, groups=("tiny/forward",), processes=2, rounds=3), tmp_path / "in" / "results.json")
    (tmp_path / "in" / "file").write_bytes(b"precious")
    (tmp_path / "in" / "file.eqx").write_bytes(b"precious")
    for link, target in (("loop", "loop"), ("to-file", "file"), ("dangling", "nothing")):
        os.symlink(target, tmp_path / "in" / link)
    return tmp_path / "in"


@pytest.mark.parametrize(("command", "option", "values"), CASES, ids=lambda part: "".join(part)[:20])
def test_an_option_that_nobody_means_is_taken_or_refused_in_a_sentence(folder, command, option, values):
    for value in values:
        words = [*command, f"{option}={value}"] if option else [*command, "--", value]
        code, out, err = call(*words)
        assert code in (0, 1, 2), (words, err)
        said = (out + err).replace("\n", "")
        assert said.isprintable(), (words, err)
        assert "Traceback" not in said
        assert code != 2 or err.startswith(("error: ", "Usage: ")), (words, err)
    assert (folder / "file").read_bytes() == (folder / "file.eqx").read_bytes() == b"precious"


def test_there_are_many_values():
    assert sum(len(values) for _, _, values in CASES) >= 300


OF_SHELL = {
    "COLUMNS": ("0", "-1", "x", "1", "9" * 30, ""),
    "TERM": ("dumb", "", "nonsense"),
    "NO_COLOR": ("", "1"),
    "FORCE_COLOR": ("1",),
    "LANG": ("C", "xx_YY", ""),
    "LC_ALL": ("POSIX", "tr_TR.UTF-8"),
    "PYTHONIOENCODING": ("ascii", "latin1", "utf-16", "cp437:strict"),
    "HOME": ("", "/nonexistent", "/dev/null", "relative"),
    "XDG_CACHE_HOME": ("", "/dev/null", "/proc/x", "relative", "a" * 300),
    "TMPDIR": ("", "/nonexistent", "/dev/null"),
}
OF_JAX = {
    "JAX_PLATFORMS": ("cuda", "tpu", "x", "cpu,", "\x1b[31m", "a" * 5000),
    "JAX_ENABLE_X64": ("maybe", "2", "-1", "1"),
    "JAX_DEFAULT_MATMUL_PRECISION": ("best", "-1", "é"),
    "JAX_NUMPY_RANK_PROMOTION": ("no",),
    "JAX_COMPILATION_CACHE_DIR": ("/dev/null", "/proc/x"),
    "JAX_NUM_CPU_DEVICES": ("0", "-1", "x"),
    "JAX_LOG_COMPILES": ("1",),
    "JAX_DEBUG_NANS": ("x",),
    "XLA_FLAGS": ("--xla_no_such=1", "--", "x", "--xla_cpu_use_fusion_emitters=maybe"),
}


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [(n, v, ("report", "results.json")) for n, values in OF_SHELL.items() for v in values]
    + [(n, v, ("verify", "--port", "pure", "--check", "sequence")) for n, values in OF_JAX.items() for v in values]
    + [(n, v, ("verify", "--port", "pure", "--check", "sequence")) for n in ("XDG_CACHE_HOME", "TMPDIR", "HOME")
       for v in OF_SHELL[n]],
)  # fmt: skip
def test_an_environment_that_nobody_means_is_worked_with_or_refused_in_a_sentence(tmp_path, name, value, command):
    save(draw_run(1, groups=("tiny/forward",), processes=2, rounds=3), tmp_path / "results.json")
    words = [sys.executable, "-m", "trigru.bench.cli", *command]
    environment = {key: old for key, old in os.environ.items() if key != "XLA_FLAGS"} | {name: value}
    found = subprocess.run(words, capture_output=True, env=environment, cwd=tmp_path, timeout=300, check=False)
    err = found.stderr.decode(errors="replace")
    print(found.returncode, err[-500:])
    assert found.returncode in (0, 2), err
    assert "Traceback" not in err
    if found.returncode == 2:
        assert err.count("\n") == 1, err
        assert err.startswith("error: "), err

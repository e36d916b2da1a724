"""Options and environments that nobody means: an answer, or a sentence and exit code
2.
"""

import os
import subprocess
import sys
import tempfile
from itertools import product

import pytest
from support.cli import call
from support.runs import draw_run, save

NUMBERS = (
    "-1",
    "0",
    "1e999",
    "nan",
    "-inf",
    "",
    "abc",
    "9" * 15_000,
    "1.5",
    "0x10",
    "１２",
    "1_000",
    "\x1b[31m",
)
NAMES = (
    "",
    "nope",
    "日本",
    "\x1b[31mred",
    "a" * 15_000,
    "../..",
    "pure\n",
    "PURE",
    "-",
    "@",
    "%s",
    "[bold]x[/]",
    "\u202e",
    "tiny@hidden=0",
    "hidden=1,,2",
    "stock@x=1",
    "\udcff\x1b[31m",
)
FOLDERS = (
    "",
    " ",
    "a" * 300,
    "a/" * 3000,
    "file",
    "file/x",
    "/dev/null/x",
    "/proc/x",
    "\x1b[31m",
    "loop",
    "dangling",
    "\0",
)
UNWRITABLE = ("loop", "loop/x", "file", "file/x", "/dev/null/x", "", "\0")
ANY, REFUSED = (0, 1, 2), (2,)
#: A command, its options, values of them, and the exit codes that these may lead to.
OPTIONS = [
    ("compare", ("--processes",), NUMBERS, ANY),
    ("compare", ("--port", "--workload", "--phase", "--style", "--kernel"), NAMES, ANY),
    ("compare", ("--size", "--dtype", "--devices"), NAMES, ANY),
    ("compare", ("--output",), FOLDERS, ANY),
    ("verify", ("--port", "--dtype", "--check", "--kernel"), NAMES, ANY),
    ("verify", ("--hosts",), ("x:1", "10.0.0.1:99999,2,0", "\x1b[31mE:1,2,0"), ANY),
    (
        "report results.json --format csv",
        ("--workload", "--phase", "--style", "--ratio"),
        NAMES,
        ANY,
    ),
    ("diff results.json results.json", ("--fail-above",), NUMBERS, ANY),
    *(
        (command, ("",), FOLDERS, ANY)
        for command in ("diff results.json", "report", "convert file.eqx")
    ),
    ("port", ("",), FOLDERS, REFUSED),
    (
        "matrix --from 2025-01",
        ("--every",),
        ("", "fortnight", "0days", "-1day", "1.5weeks", "\x1b[31m"),
        REFUSED,
    ),
    ("matrix 2025-01-31", ("--port",), NAMES, REFUSED),
    *(
        (command, ("--output",), UNWRITABLE, REFUSED)
        for command in ("compare", "snapshot", "matrix 2025-01-31")
    ),
]
#: What takes long, and is not done.
WORK = (
    "commands.compare.compare",
    "commands.verify.verify_ports",
    "upgrades.snapshot.take_snapshot",
    "upgrades.environments.Environment.snapshot",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(
        draw_run(1, groups=("tiny/forward",), processes=2, rounds=3),
        tmp_path / "results.json",
    )
    for name in ("file", "file.eqx"):
        (tmp_path / name).write_bytes(b"precious")
    for link, target in (("loop", "loop"), ("dangling", "nothing")):
        os.symlink(target, tmp_path / link)
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nbackend: \xff\n")
    return tmp_path


@pytest.mark.parametrize(("command", "options", "values", "codes"), OPTIONS)
def test_an_option_is_taken_or_refused_in_a_sentence(
    folder, monkeypatch, command, options, values, codes
):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setattr(
        "trigru.bench.proving.prover.cores", lambda: 1
    )  # no processes early
    for name in WORK:  # work that begins leaves a file
        monkeypatch.setattr(
            f"trigru.bench.{name}",
            lambda *_, **__: tempfile.mkstemp(dir=folder) and ([], {}),
        )
    for option, value in product(options, values):
        before = {*os.listdir()}
        words = [
            *command.split(),
            *([f"{option}={value}"] if option else ["--", value]),
        ]
        code, out, err = call(*words)
        assert code in codes, (words, err)
        assert code != 2 or {*os.listdir()} == before, (words, "it began")
        message = (out + err).replace("\n", "")
        assert message.isprintable(), (words, err)
        assert "Traceback" not in message
        assert code != 2 or (
            err.lstrip().startswith(("error: ", "Usage: ")) and len(err) < 3000
        ), (words, err)
    assert (
        (folder / "file").read_bytes()
        == (folder / "file.eqx").read_bytes()
        == b"precious"
    )


OF_SHELL = {
    "COLUMNS": ("0", "x", "1", "9" * 30),
    "TERM": ("dumb", ""),
    "LANG": ("C", "xx_YY"),
    "LC_ALL": ("tr_TR.UTF-8",),
    "PYTHONIOENCODING": ("ascii", "utf-16"),
    "HOME": ("", "/dev/null"),
    "XDG_CACHE_HOME": ("/proc/x", "a" * 300),
    "TMPDIR": ("", "/nonexistent"),
    "MPLBACKEND": ("nonsense",),
    "MPLCONFIGDIR": (".",),
}
OF_JAX = {
    "JAX_PLATFORMS": ("cuda", "x", "\x1b[31m", "a" * 5000),
    "JAX_ENABLE_X64": ("no",),
    "TMPDIR": ("", "/x"),
    "JAX_DEFAULT_MATMUL_PRECISION": ("best",),
    "JAX_COMPILATION_CACHE_DIR": ("/dev/null",),
    "JAX_NUM_CPU_DEVICES": ("0", "x"),
    "XLA_FLAGS": ("--xla_no_such=1", "x"),
    "XDG_CACHE_HOME": ("/dev/null",),
}
REPORT, VERIFY = (
    ("report", "results.json", "-o", "out"),
    ("verify", "--port", "pure", "--check", "step"),
)
SETTINGS = [
    (c, n, v)
    for c, of in ((REPORT, OF_SHELL), (VERIFY, OF_JAX))
    for n, values in of.items()
    for v in values
]
TRIGRU = [sys.executable, "-m", "trigru.bench.cli"]


@pytest.mark.parametrize(("command", "name", "value"), SETTINGS)
def test_an_environment_is_worked_with_or_refused_in_a_sentence(
    folder, command, name, value
):
    environment = {
        key: old for key, old in os.environ.items() if key != "XLA_FLAGS"
    } | {name: value}
    done = subprocess.run(
        [*TRIGRU, *command],
        capture_output=True,
        env=environment,
        timeout=300,
        check=False,
    )
    err = done.stderr.decode(errors="replace")
    assert done.returncode in (0, 2), err
    assert "Traceback" not in err
    assert done.returncode == 0 or (
        err.count("\n") == 1 and err.startswith("error: ")
    ), err


@pytest.mark.parametrize(
    ("line", "code"),
    [('"$@" | :; exit ${PIPESTATUS[0]}', 141), ('exec "$@" >&- <&-', 0)],
)
def test_a_stream_that_is_closed_is_no_error_to_speak_of(line, code):
    done = subprocess.run(
        ["bash", "-c", line, "bash", *TRIGRU, "verify", "--help"],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, b"")

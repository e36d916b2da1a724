"""The command line: its options, and what it says of those that it does not take."""

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from safetensors.numpy import save_file
from support.cli import call, invoke
from support.golden import FOLDER, ROOT, check_golden
from support.runs import draw_run, save
from support.snapshots import leave
from trigru.bench.reporting.plots import Picture
from trigru.bench.upgrades.record import Subject
from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params
from trigru.impls import checkpoints, get_port

#: Commands that need the extra `bench`.
OF_BENCH = [
    "compare",
    "verify",
    "port --time FILE",
    "report FILE",
    "snapshot",
    "diff A B",
    "matrix jax==0.6.2",
]
SMALL = """
import sys
from trigru.common.errors import EXTRAS
sys.modules |= dict.fromkeys([name for name, extra in EXTRAS.items() if extra == "bench"])
from trigru.bench.cli import main
for words in {commands}:
    sys.argv = ["trigru", *words.split()]
    try:
        main()
    except SystemExit as left:
        print(left.code, flush=True)
"""


def test_the_page_of_all_commands_and_options_is_that_of_the_code():
    from generate_docs import commands

    assert commands() in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), (
        "run .ci/generate_docs.py"
    )


def test_stale_pages_and_pictures_of_other_results_are_exit_code_1(
    tmp_path, monkeypatch
):
    import generate_docs as docs

    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "README.md").write_text("<!-- generated: rules -->\n<!-- end -->\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs.published, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(
        docs.published,
        "PICTURES",
        {"a": ("a.json", lambda _: Picture(Figure(), "words"))},
    )
    for content in ("one", "other"):
        (tmp_path / "docs" / "results" / "a.json").write_text(content)
        for arguments, code in (["--check"], 1), ([], 0), (["--check"], 0):
            monkeypatch.setattr(sys, "argv", ["generate_docs.py", *arguments])
            assert docs.main() == code


def test_the_version_is_said_without_a_command():
    assert invoke("--version").stdout == f"trigru {version('trigru')}\n"


def sentence_of(err):
    """A message without the frame that typer draws around it, and what the machine has of memory."""
    text = re.sub(
        r"^Usage:.*?for help\.|[│╭╮╰╯─]|Invalid value for .*?: (Value error, )?",
        "",
        err,
        flags=re.DOTALL,
    )
    return re.sub(r"[\d.]+ GiB", "… GiB", " ".join(text.split()).removeprefix("Error "))


def test_what_is_refused_is_said_with_its_reason_and_changes_nothing(
    tmp_path, monkeypatch
):
    """The file has the commands, too: a new one is a line that begins as they do."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "mine"):
        leave(Path(name), Subject("linen" if name == "old" else name, name))
    save(
        draw_run(1, groups=("tiny/forward",), processes=3, rounds=5),
        Path("run/results.json"),
    )
    checkpoints.write(
        "torch.safetensors", params := random_params(GRUConfig(4, 3)), "torch"
    )
    flat = get_port("equinox").layout.flat(params)
    placed = {
        f"{place}.{name}": array
        for place in ("a", "b.rnn")
        for name, array in flat.items()
    }
    save_file(placed | {"b.gain": params.bias_n}, "two.safetensors")
    Path("folder.eqx").mkdir()
    for name, content in (("file", b""), ("bad.msgpack", b"\xc1")):
        Path(name).write_bytes(content)
    Path("link.safetensors").symlink_to("torch.safetensors")
    Path("hard.safetensors").hardlink_to("torch.safetensors")
    for module in ("compare", "verify"):
        verify = f"trigru.bench.commands.{module}.verify_ports"
        monkeypatch.setattr(
            verify, lambda *_, **__: pytest.fail("it was verified first")
        )
    before = {
        path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")
    }
    transcript = []
    for command in re.findall(
        r"^\$ trigru (.+)$", (FOLDER / "refused.txt").read_text(), re.MULTILINE
    ):
        code, out, err = call(*shlex.split(command))
        assert (code, out) == (2, ""), command
        assert {
            path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")
        } == before, command
        transcript += [f"$ trigru {command}", sentence_of(err)]
    check_golden("refused", "\n".join(transcript))


OF_BENCH += ["bisect jax==0.6.2 jax==0.7.1 true"]


def test_without_an_extra_a_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = SMALL.format(commands=[*OF_BENCH, "--help"])
    done = subprocess.run([sys.executable, "-c", small], capture_output=True, text=True)
    codes = [line for line in done.stdout.splitlines() if line.isdecimal()]
    assert codes == ["2"] * len(OF_BENCH) + ["0"], done.stderr
    said = re.findall(
        'error: [a-z]+ is not installed: pip install "[.]\\[bench\\]" in a clone of trigru brings it[.]',
        done.stderr,
    )
    assert said == done.stderr.splitlines()
    assert list(tmp_path.iterdir()) == []

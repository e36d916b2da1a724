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
from support.golden import ROOT, check_golden
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
    "bisect jax==0.6.2 jax==0.7.1 true",
]
#: Runs commands in a process that has nothing of the extra `bench`.
WITHOUT_BENCH = """
import sys
from trigru.common.errors import EXTRAS
missing = [name for name, extra in EXTRAS.items() if extra == "bench"]
sys.modules |= dict.fromkeys(missing)
from trigru.bench.cli import main
for words in {commands}:
    sys.argv = ["trigru", *words.split()]
    try:
        main()
    except SystemExit as left:
        print(left.code, flush=True)
"""
#: Commands that are refused. What they say is in golden/refused.txt.
REFUSED = r"""
compare --port haiku
compare --workload huge
compare --phase backward
compare --style pmap
compare --port pure --style filter_jit
compare --phase train_step --phase step --style donated
compare --kernel cudnn
verify --dtype int8
report absent.json
report /dev/zero
compare --devices two
compare --devices 0,2
compare --devices 1,2 --workload question
compare --size depth=1,2
compare --size hidden=0
compare --size hidden=8,hidden=9
compare --size 8,hidden=9
compare --size time=5 --workload utterances
compare --workload tiny@hidden=8
compare --size hidden=99999999999999
compare --rounds=3
compare --dtype float64
compare --precision tf32
compare --output ''
verify --devices 2 --check life
verify --hosts auto --dtype float64
report x --format csv --details
report x --format md
diff old
diff old old --now
diff old old --with jax==0.5.0
diff mine --now
diff absent --now
diff old absent
diff old old --fail-on everything
diff old old --fail-on better
snapshot --port nothing
snapshot file --port pure
snapshot -o file
port absent.py
port a.py b.py c.py
matrix
matrix jax
matrix 2025-01-01 2025-01-01
bisect 2025-01-01 jax==0.5.0 --fact draws
bisect 2025-01-01 2025-02-01
bisect 2025-01-01 2025-02-01 --fact colour
bisect 2025-01-01 2025-02-01 --fact better
bisect 2025-01-01 2025-02-01 --fact tree -- true
bisect 2025-01-01 2025-02-01 --fact tree --port keras
convert absent.eqx p.pt
convert torch.safetensors a.eqx --to ''
convert bad.msgpack a.eqx
convert torch.safetensors a.eqx --whole
convert torch.safetensors a.eqx --at a --at b
convert torch.safetensors a.eqx --name Wi
convert torch.safetensors p.bin
convert torch.safetensors p
convert torch.safetensors p.safetensors
convert torch.safetensors p.eqx --to linen
convert torch.safetensors p.msgpack --to torch
convert torch.safetensors folder.eqx
convert two.safetensors new.eqx
convert two.safetensors new.eqx --at c
convert two.safetensors new.eqx --at a.cell.hidden
convert two.safetensors new.eqx --at b
convert two.safetensors new.eqx --at a --name weight_ih=Wi
convert two.safetensors new.eqx --at a --name weights=Wi
convert two.safetensors new.eqx --at a --name weight_ih=W --name weight_hh=W
convert torch.safetensors link.safetensors
convert torch.safetensors hard.safetensors
convert torch.safetensors ./torch.safetensors
report run --output run/results.json
report run run --output page
matrix ''
matrix jax==
matrix 2025-13-01
matrix 2025-02-30
matrix 'jax==0.6.2; rm'
matrix 'jax @ https://example.org/jax.whl'
matrix ./old
matrix --from 2025-01-01 --every ''
matrix --from 2025-01-01 --every 0days
matrix --from 2025-01-01 --every month-ish
matrix --from 2025-01-01 --every=-1day
matrix --from 2025-01-01 --every '2 fortnights'
matrix 9999-01-01
bisect 2025-02-01 2025-01-01 --fact draws
bisect 2025-01-20 2025-01-20 --fact draws
bisect jax==0.10.0 jax==0.9.1 --fact draws
bisect 'jax>=0.4' jax==0.5.0 --fact draws
bisect jax==0.5.0 'jax>=0.4' --fact draws
verify --hosts here
verify --hosts here,2,0
verify --hosts here:0x,2,0
verify --hosts here:80,2
verify --hosts here:80,2,x
verify --hosts :80,2,0
verify --hosts here:80,2,2
"""


def test_the_page_of_all_commands_and_options_is_that_of_the_code():
    from generate_docs import commands

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert commands() in page, "run .ci/generate_docs.py"


@pytest.mark.parametrize("before", [None, "of other results"])
def test_pages_and_pictures_that_are_stale_are_exit_code_1_until_they_are_written(
    tmp_path, monkeypatch, before
):
    import generate_docs as docs

    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    readme = "<!-- generated: rules -->\n<!-- end -->\n"
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    pictures = {"a": ("a.json", lambda _: Picture(Figure(), "words"))}
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs.published, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(docs.published, "PICTURES", pictures)

    def exit_code(*arguments):
        monkeypatch.setattr(sys, "argv", ["generate_docs.py", *arguments])
        return docs.main()

    if before is not None:
        (results / "a.json").write_text(before, encoding="utf-8")
        exit_code()
    (results / "a.json").write_text("results", encoding="utf-8")
    assert exit_code("--check") == 1
    assert exit_code() == 0
    assert exit_code("--check") == 0


def test_the_version_is_said_without_a_command():
    assert invoke("--version").stdout == f"trigru {version('trigru')}\n"


TRIGRU = [sys.executable, "-m", "trigru.bench.cli"]


def test_a_command_whose_reader_has_left_exits_with_141():
    command = [*TRIGRU, "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.close()
    assert process.returncode == 141


def test_a_command_runs_without_streams():
    shell = ["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh"]
    assert subprocess.run([*shell, *TRIGRU, "--version"]).returncode == 0


def sentence_of(err):
    """A message without the frame that typer draws around it.

    What the machine has of memory is left out.
    """
    frame = r"^Usage:.*?for help\.|[│╭╮╰╯─]|Invalid value for .*?: (Value error, )?"
    text = re.sub(frame, "", err, flags=re.DOTALL)
    sentence = " ".join(text.split()).removeprefix("Error ")
    return re.sub(r"[\d.]+ GiB", "… GiB", sentence)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with files of which the commands speak."""
    monkeypatch.chdir(tmp_path)
    leave(Path("old"), Subject("linen", "old"))
    leave(Path("mine"), Subject("mine", "mine"))
    run = draw_run(1, groups=("tiny/forward",), processes=3, rounds=5)
    save(run, Path("run/results.json"))

    params = random_params(GRUConfig(4, 3))
    checkpoints.write("torch.safetensors", params, "torch")
    arrays = {"b.gain": params.bias_n}
    for name, array in get_port("equinox").layout.flat(params).items():
        arrays[f"a.{name}"] = array
        arrays[f"b.rnn.{name}"] = array
    save_file(arrays, "two.safetensors")

    Path("folder.eqx").mkdir()
    Path("file").touch()
    Path("bad.msgpack").write_bytes(b"\xc1")
    Path("link.safetensors").symlink_to("torch.safetensors")
    Path("hard.safetensors").hardlink_to("torch.safetensors")
    return tmp_path


def contents(folder):
    """The content of each file in a folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_what_is_refused_is_said_with_its_reason_and_changes_nothing(here, monkeypatch):
    def verify(*_, **__):
        pytest.fail("it was verified first")

    monkeypatch.setattr("trigru.bench.commands.compare.verify_ports", verify)
    monkeypatch.setattr("trigru.bench.commands.verify.verify_ports", verify)
    monkeypatch.setenv("COLUMNS", "100")
    before = contents(here)
    transcript = []
    for command in REFUSED.split("\n")[1:-1]:
        exit_code, out, err = call(*shlex.split(command))
        assert (exit_code, out) == (2, ""), command
        assert contents(here) == before, command
        transcript += [f"$ trigru {command}", sentence_of(err)]
    check_golden("refused", "\n".join(transcript))


def test_without_an_extra_a_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = WITHOUT_BENCH.format(commands=[*OF_BENCH, "--help"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    exit_codes = [line for line in done.stdout.splitlines() if line.isdecimal()]
    assert exit_codes == ["2"] * len(OF_BENCH) + ["0"], done.stderr

    install = r"To install it, run: pip install .*\[bench\].*"
    for line in done.stderr.splitlines():
        assert re.fullmatch(rf"error: [a-z]+ is not installed\. {install}", line)
    assert len(done.stderr.splitlines()) == len(OF_BENCH)
    assert list(tmp_path.iterdir()) == []

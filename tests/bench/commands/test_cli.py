"""The command line: its options, and what it says of those that it does not take; and `trigru styles`."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.cli import call, invoke, shown
from support.snapshots import leave
from trigru.bench.commands.styles import style_table
from trigru.bench.upgrades.record import Subject
from trigru.common.port.protocol import CallStyle
from trigru.impls import get_port
from trigru.impls.code import code_of

COMMANDS = ("compare", "verify", "report", "diff", "snapshot", "matrix", "bisect", "styles", "port", "convert")
ROOT = Path(__file__).parents[3]


def test_help_names_all_commands():
    found = invoke("--help")
    assert found.exit_code == 0
    assert all(command in found.stdout for command in COMMANDS)


def test_the_page_of_all_commands_and_options_is_that_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    from generate_docs import commands

    found = commands()
    assert sorted(re.findall(r"^## trigru (\w+)", found, re.MULTILINE)) == sorted(COMMANDS)
    assert found in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run .ci/generate_docs.py"


def test_the_version_is_said_without_a_command():
    assert invoke("--version").stdout == f"trigru {version('trigru')}\n"


#: By a command, what is said of it.
REFUSED = {
    "compare --port haiku": "unknown port 'haiku'. Known: pure, linen, nnx, equinox, torch",
    "compare --workload huge": "unknown workload 'huge'. Known: tiny",
    "compare --phase backward": "unknown phase 'backward'. Known: forward, gradient",
    "compare --style pmap": "unknown call style of pure, linen, nnx, equinox 'pmap'. Known: apply",
    "compare --kernel cudnn": "unknown kernel of pure, linen, nnx, equinox 'cudnn'. Known: stock",
    "verify --dtype int8": "unknown dtype 'int8'. Known: float64, float32",
    "verify --upstream --port pure": "unknown port with an upstream part 'pure'. Known: linen, nnx, equinox",
    "styles haiku": "unknown port 'haiku'. Known: pure, linen, nnx, equinox",
    "styles nnx pmap": "unknown call style of nnx 'pmap'. Known: nnx.jit, documented, nnx.jit-tree",
    "report absent.json": "absent.json: No such file",
    "report /dev/zero": "/dev/zero: not a regular file",
    "compare --devices two": "cannot read the devices 'two': expected numbers from 1 on, as in 1",
    "compare --devices 0,2": "cannot read the devices '0,2'",
    "compare --devices 1,2 --workload question":
        "question has a batch of 1, which 2 devices cannot share equally. Pass another --workload, or --size batch=2",
    "compare --size depth=1,2": "cannot read the size 'depth=1,2': expected batch, time, inputs, hidden",
    "compare --size hidden=0": "cannot read the size 'hidden=0'",
    "compare --size hidden=8,hidden=9": "each at most once",
    "compare --size 8,hidden=9": "cannot read the size '8,hidden=9'",
    "compare --size time=5 --workload vowels": "vowels has real data, which fix its time",
    "compare --size hidden=99999999999999": "of memory for 11 arms, and this machine has ",
    "compare --workload tiny@batch=99999999999": "tiny@batch=99999999999 needs about ",
    "compare --workload question@width=3": "unknown size 'width'. Known: batch, time, inputs, hidden",
    "compare --workload tiny@hidden=8@hidden=9": "cannot read 'tiny@hidden=8@hidden=9'",
    "compare --workload ": "unknown workload ''. Known: tiny",
    "bench --quick": "`trigru compare --no-proof`",
    "verify --no-cache": "TRIGRU_NO_CACHE=1",
    "diff a b --allow-missing": "--anyway",
    "compare --rounds=3": "No such option: --rounds",
    "compare --dtype float64": "'float64' is not one of 'float32', 'bfloat16', 'float16'",
    "compare --precision tf32": "'tf32' is not one of",
    "compare --cold-start --quick": "nothing else. It takes --port and --output alone",
    "compare --no-proof --anew": "--no-proof does not go with --anew: that is about the proof",
    "compare --output ": "expected the name of a folder",
    "verify --self-test --format json": "--self-test does not go with --format",
    "verify --devices 2 --upstream": "--devices does not go with --upstream",
    "verify --upstream --kernel fused": "--upstream does not go with --kernel",
    "verify --self-test --dtype float64 --help":
        "--self-test does not go with --dtype: each fault has the check and the dtypes that notice it.",
    "report x --style leaves": "choose rows of a table: add --format csv",
    "report x --format csv --details": "it goes with neither --details nor --output",
    "report x --format md": "'md' is not one of",
    "diff old": "pass NEW, or --now",
    "diff old old --now": "pass NEW, or --now",
    "diff mine --now": "OLD is of mine, and of no port",
    "diff absent --now": "has no snapshot",
    "diff old absent": "No such file",
    "diff old --now --output page": "a page of two runs",
    "diff old old --output page": "a page of two runs",
    "diff old old --fail-on everything": "everything",
    "diff old old --fail-on better": "program, all, none",
    "snapshot --port nothing": "nothing",
    "snapshot -o file": "is no folder",
    "matrix": "name a version set",
    "matrix jax": "names no version",
    "matrix 2025-01-01 2025-01-01": "named twice",
    "bisect 2025-01-01 jax==0.5.0 --fact draws": "both days, or both versions",
    "bisect 2025-01-01 2025-02-01": "pass --fact, or a command",
    "bisect 2025-01-01 2025-02-01 --fact colour": "unknown fact 'colour'",
    "bisect 2025-01-01 2025-02-01 --fact better": "unknown fact 'better'",
    "bisect 2025-01-01 2025-02-01 --fact tree -- true": "and not both",
    "bisect 2025-01-01 2025-02-01 --fact tree --port keras": "unknown port 'keras'",
}  # fmt: skip


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_refused_is_said_with_its_reason_and_leaves_nothing(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("old", "mine"):
        leave(tmp_path / name, Subject("linen" if name == "old" else name, name))
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for module in ("compare", "verify"):
        verify = f"trigru.bench.commands.{module}.verify_ports"
        monkeypatch.setattr(verify, lambda *_, **__: pytest.fail("it was verified first"))
    code, out, err = call(*command.split(" "))
    assert (code, out) == (2, "")
    assert REFUSED[command] in re.sub(r"[│\s]+", " ", err)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


#: Commands that need the extra `bench`.
OF_BENCH = ["compare", "verify", "port --time FILE", "report FILE", "snapshot", "diff A B", "matrix jax==0.6.2"]
OF_BENCH += ["bisect jax==0.6.2 jax==0.7.1 true"]
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


def test_without_an_extra_a_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = SMALL.format(commands=[*OF_BENCH, "--help"])
    done = subprocess.run([sys.executable, "-c", small], capture_output=True, text=True)
    codes = [line for line in done.stdout.splitlines() if line.isdecimal()]
    assert codes == ["2"] * len(OF_BENCH) + ["0"], done.stderr
    said = re.findall('error: [a-z]+ is not installed: pip install "trigru\\[bench\\]" brings it[.]', done.stderr)
    assert said == done.stderr.splitlines()
    assert list(tmp_path.iterdir()) == []


def printed(*arguments):
    """The comment above the code, and the code."""
    found = invoke("styles", *arguments)
    assert found.exit_code == 0, found.exception
    lines = found.stdout.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line[0] != "#")
    return "".join(lines[:first]), "".join(lines[first:])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("nnx",), ["nnx.jit"] * 3),
        (("nnx", "functional"), ["split-merge"] * 3),
        (("linen",), ["train_state", "apply", "apply"]),
        (("linen", "apply"), ["apply"] * 3),
        (("equinox", "donated"), ["donated"]),
    ],
)
def test_the_code_of_a_style_is_printed_by_name_or_label(arguments, names):
    styles = dict(zip(("train_step", "forward", "step"), names, strict=False))
    comment, code = printed(*arguments)
    assert code == code_of(arguments[0], styles)
    for style in styles.values():
        phases = ", ".join(phase for phase in styles if styles[phase] == style)
        assert f"call style {style} ({phases}): " in comment
    caution = "# Mind: what a call changes in the module, as dropout's generator, must be returned.\n"
    assert (caution in comment) == (arguments == ("nnx", "functional"))
    compile(comment + code, "program", "exec")


def test_without_a_port_all_styles_are_listed_with_labels_and_pages():
    found = invoke("styles")
    assert found.exit_code == 0
    for name in ("pure", "linen", "nnx", "equinox"):
        for style in get_port(name).call_styles:
            assert style.name in found.stdout
            assert f"{name}[{style.name}]: {style.source}" in found.stdout or not style.source
    assert "documented (forward, gradient," in found.stdout
    assert len(shown([style_table([get_port("linen")])]).splitlines()) > 9


def test_a_style_that_is_not_to_be_had_is_printed_and_the_reason_said(monkeypatch):
    port = get_port("nnx")
    lacking = [CallStyle(**(vars(style) | {"missing": lambda: "this flax is old"})) for style in port.call_styles]
    monkeypatch.setattr(type(port), "call_styles", tuple(lacking))
    found = invoke("styles", "nnx", "cached_partial")
    assert found.stderr == "call style 'cached_partial' of nnx does not run here: this flax is old.\n"
    assert "nnx.cached_partial(train_step, model, optimizer)" in found.stdout
    assert "nnx[nnx.jit] does not run here: this flax is old." in invoke("styles").stdout

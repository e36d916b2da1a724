"""The command line: its options, and what it says of those that it does not take."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.cli import call, invoke, run_code

COMMANDS = ("compare", "verify", "report", "diff", "snapshot", "matrix", "bisect", "styles", "port", "convert")
ROOT = Path(__file__).parents[3]


def test_help_names_all_commands_and_imports_no_jax():
    found = invoke("--help")
    assert found.exit_code == 0
    assert all(command in found.stdout for command in COMMANDS)
    heavy = "jax", "flax", "equinox", "scipy", "numpy"
    code = f"import sys, trigru.bench.cli; print([m for m in {heavy} if m in sys.modules])"
    assert run_code(code) == "[]\n"


def test_the_page_of_all_commands_and_options_is_that_of_the_code(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    from catalogue import commands

    found = commands()
    assert sorted(re.findall(r"^## trigru (\w+)", found, re.MULTILINE)) == sorted(COMMANDS)
    assert found in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run .ci/generate_docs.py"


def test_the_version_is_said_without_a_command():
    assert invoke("--version").stdout == f"trigru {version('trigru')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--port", "haiku"], "unknown port 'haiku'. Known: pure, linen, nnx, equinox, torch"),
        (["compare", "--workload", "huge"], "unknown workload 'huge'. Known: tiny"),
        (["compare", "--phase", "backward"], "unknown phase 'backward'. Known: forward, gradient"),
        (["compare", "--style", "pmap"], "unknown call style of pure, linen, nnx, equinox 'pmap'. Known: apply"),
        (["compare", "--kernel", "cudnn"], "unknown kernel of pure, linen, nnx, equinox 'cudnn'. Known: stock"),
        (["verify", "--dtype", "int8"], "unknown dtype 'int8'. Known: float64, float32"),
        (["verify", "--upstream", "--port", "pure"],
         "unknown port with an upstream part 'pure'. Known: linen, nnx, equinox"),
        (["styles", "haiku"], "unknown port 'haiku'. Known: pure, linen, nnx, equinox"),
        (["styles", "nnx", "pmap"], "unknown call style of nnx 'pmap'. Known: nnx.jit, documented, nnx.jit-tree"),
        (["report", "absent.json"], "absent.json: No such file"),
        (["diff", "absent.json", "absent.json"], "absent.json: No such file"),
        (["compare", "--devices", "two"], "cannot read the devices 'two': expected numbers from 1 on, as in 1"),
        (["compare", "--devices", "0,2"], "cannot read the devices '0,2'"),
        (["compare", "--devices", "1,2", "--workload", "question"],
         "question has a batch of 1, which 2 devices cannot share equally. Pass another --workload, or --size batch=2"),
        (["compare", "--size", "depth=1,2"], "cannot read the size 'depth=1,2': expected batch, time, inputs, hidden"),
        (["compare", "--size", "hidden=0"], "cannot read the size 'hidden=0'"),
        (["compare", "--size", "hidden=8,hidden=9"], "each at most once"),
        (["compare", "--size", "8,hidden=9"], "cannot read the size '8,hidden=9'"),
        (["compare", "--size", "time=5", "--workload", "vowels"], "vowels has real data, which fix its time"),
        (["compare", "--workload", "question@width=3"], "unknown size 'width'. Known: batch, time, inputs, hidden"),
        (["compare", "--workload", "tiny@hidden=8@hidden=9"], "cannot read 'tiny@hidden=8@hidden=9'"),
        (["compare", "--workload", ""], "unknown workload ''. Known: tiny"),
        (["compare", "--phase", ""], "unknown phase ''"),
        (["compare", "--size", ""], "cannot read the size ''"),
        (["compare", "--size", "hidden=99999999999999"], "of memory for 11 arms, and this machine has "),
        (["compare", "--workload", "tiny@batch=99999999999"], "tiny@batch=99999999999 needs about "),
        (["report", "/dev/zero"], "/dev/zero: not a regular file"),
    ],
)  # fmt: skip
def test_bad_input_is_said_in_a_line_and_exits_2(tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("compare", "verify"):
        verify = f"trigru.bench.commands.{command}.verify_ports"
        monkeypatch.setattr(verify, lambda *_, **__: pytest.fail("it was verified first"))
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert list(tmp_path.iterdir()) == [], "something was left behind"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("compare --rounds=3", "No such option: --rounds"),
        ("compare --dtype float64", "'float64' is not one of 'float32', 'bfloat16', 'float16'"),
        ("compare --precision tf32", "'tf32' is not one of"),
        ("compare --cold-start --quick", "nothing else. It takes --port and --output alone"),
        ("compare --no-proof --anew", "--no-proof does not go with --anew: that is about the proof"),
        ("verify --self-test --format json", "--self-test does not go with --format"),
        ("verify --devices 2 --upstream", "--devices does not go with --upstream"),
        ("verify --upstream --kernel fused", "--upstream does not go with --kernel"),
        (
            "verify --self-test --dtype float64 --help",
            "--self-test does not go with --dtype: each fault has the check and the dtypes that notice it.",
        ),
        ("compare --output ", "expected the name of a folder"),
        ("report x --style leaves", "choose rows of a table: add --format csv"),
        ("report x --format csv --details", "it goes with neither --details nor --output"),
        ("report x --format md", "'md' is not one of"),
    ],
)
def test_what_is_refused_is_said_with_its_reason(arguments, message):
    found = invoke(*arguments.split(" "))
    assert found.exit_code == 2
    assert message in re.sub(r"[│\s]+", " ", found.stderr)


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

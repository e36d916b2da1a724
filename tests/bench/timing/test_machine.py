"""What the numbers depend on is recorded, and what differs on another machine is
named.
"""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from types import SimpleNamespace

import msgspec
import pytest
from cpuinfo import get_cpu_info
from support.runs import MACHINE, VERSIONS, draw_run, with_machine
from trigru.bench.reporting.naming import provenance_lines
from trigru.bench.results.machine import Machine, machine_differences
from trigru.bench.timing import machine as timing

#: What may change, and what is said of it. JAX names the device of GPUs, whose clocks
#: vary.
CHANGES = {
    "device": ("B CPU", ["device A CPU -> B CPU"]),
    "backend": ("gpu", ["backend cpu -> gpu"]),
    "threads": (4, ["threads 16 -> 4"]),
    "xla_flags": ("--xla_x", ["xla_flags '' -> --xla_x"]),
    "versions": (
        VERSIONS | {"jax": "0.11", "torch": "2.9"},
        ["jax 0.12.0 -> 0.11", "torch none -> 2.9"],
    ),
    "environment": (
        {"OMP_NUM_THREADS": "4", "XLA_X": "1"},
        ["OMP_NUM_THREADS 8 -> 4", "XLA_X none -> 1"],
    ),
    "commit": ("def-dirty", []),
    "gpus": ([{"name": "another", "MHz": "345"}], []),
}


@pytest.mark.parametrize("field", Machine.__struct_fields__)
def test_differences_are_named_both_ways(field):
    value, forth = CHANGES[field]
    there = msgspec.structs.replace(MACHINE, **{field: value})
    assert machine_differences(MACHINE, there) == forth
    back = [
        re.sub(r"^(\w+) (.*) -> (.*)$", r"\1 \3 -> \2", sentence) for sentence in forth
    ]
    assert machine_differences(there, MACHINE) == back
    assert machine_differences(MACHINE, there, versions=False) == (
        [] if field == "versions" else forth
    )


@pytest.fixture
def bare_environment(monkeypatch):
    """No variable that matters is set."""
    for name in list(os.environ):
        if timing._MATTERS.search(name):
            monkeypatch.delenv(name)
    return monkeypatch.setenv


MATTERS = [
    "CUDA_VISIBLE_DEVICES",
    "EQX_ON_ERROR",
    "FLAX_LAZY_RNG",
    "JAX_ENABLE_X64",
    "NUMEXPR_NUM_THREADS",
    "OMP_X",
]
OTHERS = [
    "JAX_TOKEN",
    "XLA_API_KEY",
    "TF_PASSWORD",
    "HOME_OF_JAX",
    "OMP",
    "PASSWORD",
    "JAXTYPING_DISABLE",
]


def test_variables_that_matter_are_recorded_and_secrets_are_not(bare_environment):
    for name in (*MATTERS, *OTHERS):
        bare_environment(name, "7")
    bare_environment("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    found = timing.describe_machine()
    assert found.environment == dict.fromkeys(MATTERS, "7")
    assert found.xla_flags == "--xla_cpu_enable_fast_math=false"


PATHS = {
    "--xla_dump_to=/home/me/dump": "--xla_dump_to=PATH",
    "--xla_dump_to=mine --xla_a=1": "--xla_dump_to=PATH --xla_a=1",
    '--xla_gpu_cuda_data_dir="/home/me/my cuda" '
    "--xla_b": "--xla_gpu_cuda_data_dir=PATH --xla_b",
    "--xla_load_results_from=~/tuned": "--xla_load_results_from=PATH",
    r"--xla_dump=C:\Users\me": "--xla_dump=PATH",
    "/home/me/flags": "PATH",  # XLA reads a file that it names
    "--xla_dump_to=": "--xla_dump_to=",
    "--xla_a=true  --xla_force_host_platform_device_count=8": "--xla_a=true "
    "--xla_force_host_platform_device_count=8",
    "--xla_options='a=1, b=2'": "--xla_options='a=1, b=2'",
    "max_split_size_mb:128": "max_split_size_mb:128",
}


def test_paths_are_not_published(bare_environment, monkeypatch):
    assert {value: timing.without_paths(value) for value in PATHS} == PATHS
    monkeypatch.setattr(
        "jax.devices", lambda: [SimpleNamespace(platform="cpu")]
    )  # XLA itself must not read these
    bare_environment("XLA_FLAGS", "--xla_dump_to=/home/me")
    bare_environment("TF_XLA_FLAGS", "/home/me/flags")
    found = timing.describe_machine()
    assert (found.xla_flags, found.environment) == (
        "--xla_dump_to=PATH",
        {"TF_XLA_FLAGS": "PATH"},
    )


def test_this_machine(monkeypatch):
    found, versions = (
        timing.describe_machine(["hypothesis"]),
        timing.versions_of(["jax", "no-such-distribution"]),
    )
    assert list(versions) == ["python", *timing.PACKAGES, "no-such-distribution"]
    of_python_and_jax = (platform.python_version(), version("jax"), "not installed")
    assert (
        tuple(versions[name] for name in ("python", "jax", "no-such-distribution"))
        == of_python_and_jax
    )
    assert machine_differences(found, timing.describe_machine()) == [
        f"hypothesis {version('hypothesis')} -> none"
    ]
    assert timing.load_average() >= 0
    assert (found.backend, found.gpus) == ("cpu", [])
    assert (
        found.device
        == timing.cpu_name()
        == get_cpu_info().get("brand_raw", found.device)
        != ""
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert timing.describe_machine().threads == 3


ONE = "NVIDIA H100 80GB HBM3, 580.65.06, 1980, 345, 700.00, Disabled, 81559, 4, 0\n"
CONSUMER = (
    "NVIDIA GeForce RTX 4090, 550.54.14, 3105, 210, 450.00, [N/A], 24564, 812, 3\n"
)


@pytest.fixture
def driver(monkeypatch):
    """What NVIDIA's driver answers, where no text is a driver that fails."""

    def answers(text):
        def run(*_, **__):
            if text is None:
                raise subprocess.TimeoutExpired("nvidia-smi", 1)
            return SimpleNamespace(stdout=text)

        monkeypatch.setattr(
            timing,
            "subprocess",
            SimpleNamespace(run=run, SubprocessError=subprocess.SubprocessError),
        )

    return answers


@pytest.mark.parametrize("platform", ["gpu", "cpu"])
def test_cuda_and_the_drivers_words_are_recorded_on_a_gpu(
    monkeypatch, tmp_path, driver, platform
):
    info = tmp_path / "nvidia_cudnn_cu13-9.14.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nvidia_cudnn-cu13\nVersion: 9.14.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    client = SimpleNamespace(platform_version="PJRT C API\ncuda 13000")
    monkeypatch.setattr(
        "jax.devices",
        lambda: [
            SimpleNamespace(platform=platform, device_kind="A GPU", client=client)
        ],
    )
    monkeypatch.setattr(timing, "commit_of_trigru", lambda: "")
    driver(ONE + CONSUMER)
    found = timing.describe_machine()
    further = {
        name: found.versions[name]
        for name in found.versions
        if name not in ("python", *timing.PACKAGES)
    }
    if platform == "cpu":
        assert (further, found.gpus) == ({}, [])
        return
    assert further == {
        "nvidia-cudnn-cu13": "9.14.0",
        "platform": "PJRT C API cuda 13000",
    }
    first, second = found.gpus
    assert first == {
        "name": "NVIDIA H100 80GB HBM3",
        "driver": "580.65.06",
        "most MHz": "1980",
        "MHz": "345",
        "W at most": "700.00",
        "MIG": "Disabled",
        "MiB": "81559",
        "MiB used": "4",
        "% busy": "0",
    }
    assert ("MIG" in second, second["MiB used"]) == (False, "812")
    lines = provenance_lines(with_machine(draw_run(1), gpus=[first]))
    assert [
        line
        for line in lines
        if line.startswith("GPU: name NVIDIA H100 80GB HBM3, driver 580")
    ]


def test_a_driver_without_an_answer_says_nothing(driver):
    for text in ("", "No devices were found\n", "NVIDIA H100, 580\n", None):
        driver(text)
        assert timing.describe_gpus() == []


def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    file, readme, *others = (
        tmp_path / name
        for name in (
            "bench/timing/machine.py",
            "README",
            "common/module.py",
            "impls/module.py",
        )
    )
    for path in (file, readme, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    monkeypatch.setattr(timing, "__file__", str(file))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def git(*arguments):
        who = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "commit.gpgsign=false",
        ]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert timing.commit_of_trigru() == ""
    git("init", "-q")
    git("add", "README")
    git("commit", "-qm", "without the package")
    assert timing.commit_of_trigru() == "", (
        "installed beneath somebody else's repository"
    )
    git("add", ".")
    git("commit", "-qm", "with it")
    commit = git("rev-parse", "HEAD")
    readme.write_text("changed, and measured alike")
    assert timing.commit_of_trigru() == commit
    for path in (file, *others):
        path.write_text("changed")
        assert timing.commit_of_trigru() == f"{commit}-dirty", path
        git("checkout", str(path))
    (file.parent / "port.py").write_text("new, and run")
    assert timing.commit_of_trigru() == f"{commit}-dirty"
    monkeypatch.setenv("PATH", "")
    assert timing.commit_of_trigru() == "", "without git"

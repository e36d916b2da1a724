"""What the numbers depend on is recorded, and what differs on another machine is named."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from types import SimpleNamespace

import msgspec
import pytest
from support.runs import MACHINE, VERSIONS
from trigru.bench.results.run import Machine
from trigru.bench.timing import machine as machine_module
from trigru.bench.timing.machine import (
    PACKAGES,
    commit_of_trigru,
    cpu_name,
    cuda_packages,
    describe_machine,
    load_average,
    machine_differences,
    versions_of,
    without_paths,
)

#: What may change, what is said of it, and what is said the other way round.
CHANGES = {
    "device": ({"device": "B CPU"}, ["device 'B CPU', was 'A CPU'"], ["device 'A CPU', was 'B CPU'"]),
    "backend": ({"backend": "gpu"}, ["backend 'gpu', was 'cpu'"], ["backend 'cpu', was 'gpu'"]),
    "threads": ({"threads": 4}, ["threads 4, was 16"], ["threads 16, was 4"]),
    "xla_flags": ({"xla_flags": "--xla_x"}, ["xla_flags '--xla_x', was ''"], ["xla_flags '', was '--xla_x'"]),
    "versions": (
        {"versions": VERSIONS | {"jax": "0.11.0", "torch": "2.9"}},
        ["jax 0.11.0, was 0.12.0", "torch 2.9, was not set"],
        ["jax 0.12.0, was 0.11.0", "torch not set, was 2.9"],
    ),
    "environment": (
        {"environment": {"OMP_NUM_THREADS": "4", "XLA_X": "1"}},
        ["OMP_NUM_THREADS 4, was 8", "XLA_X 1, was not set"],
        ["OMP_NUM_THREADS 8, was 4", "XLA_X not set, was 1"],
    ),
    "commit": ({"commit": "def-dirty"}, [], []),
    "gpus": ({"gpus": [{"name": "another", "MHz": "345"}]}, [], []),  # JAX names the device, and clocks vary
}


@pytest.mark.parametrize("field", Machine.__struct_fields__)
def test_differences_are_named_both_ways(field):
    change, forth, back = CHANGES[field]
    there = msgspec.structs.replace(MACHINE, **change)
    assert machine_differences(MACHINE, there) == forth
    assert machine_differences(there, MACHINE) == back
    assert machine_differences(MACHINE, there, versions=False) == ([] if field == "versions" else forth)
    assert machine_differences(there, there) == []


@pytest.fixture
def bare_environment(monkeypatch):
    """No variable that matters is set."""
    for name in list(os.environ):
        if machine_module._MATTERS.search(name):
            monkeypatch.delenv(name)
    return monkeypatch.setenv


MATTERS = [
    "JAX_ENABLE_X64", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "OPENBLAS_CORETYPE",
    "OMP_NUM_THREADS", "MKL_DYNAMIC", "KERAS_BACKEND", "TORCH_LOGS", "PYTORCH_CUDA_ALLOC_CONF", "KMP_AFFINITY",
    "CUBLAS_WORKSPACE_CONFIG", "CUDNN_LOGINFO_DBG", "EQX_ON_ERROR", "FLAX_LAZY_RNG", "NUMEXPR_NUM_THREADS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
]  # fmt: skip
OTHERS = [
    "JAX_TOKEN", "XLA_API_KEY", "TF_PASSWORD", "JAX_SECRET", "TORCH_CREDENTIALS", "HOME_OF_JAX", "MY_XLA_FLAGS", "OMP",
    "PASSWORD", "JAXTYPING_DISABLE", "NUM_THREADS",
]  # fmt: skip


def test_variables_that_matter_are_recorded_and_others_are_not(bare_environment):
    for name in (*MATTERS, *OTHERS):
        bare_environment(name, "7")
    assert describe_machine().environment == dict.fromkeys(sorted(MATTERS), "7")


def test_xla_flags_are_apart(bare_environment):
    assert describe_machine().xla_flags == ""
    bare_environment("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    bare_environment("XLA_OTHER", "1")
    found = describe_machine()
    assert found.xla_flags == "--xla_cpu_enable_fast_math=false"
    assert found.environment == {"XLA_OTHER": "1"}


PATHS = {
    "--xla_dump_to=/home/me/dump": "--xla_dump_to=PATH",
    "--xla_dump_to=mine --xla_a=1": "--xla_dump_to=PATH --xla_a=1",
    '--xla_gpu_cuda_data_dir="/home/me/my cuda" --xla_b': "--xla_gpu_cuda_data_dir=PATH --xla_b",
    "--xla_gpu_load_autotune_results_from=~/tuned": "--xla_gpu_load_autotune_results_from=PATH",
    r"--xla_dump=C:\Users\me": "--xla_dump=PATH",
    "/home/me/flags": "PATH",  # XLA reads a file that it names
    "--xla_dump_to=": "--xla_dump_to=",
    "--xla_a=true  --xla_force_host_platform_device_count=8": "--xla_a=true --xla_force_host_platform_device_count=8",
    "--xla_options='a=1, b=2'": "--xla_options='a=1, b=2'",
    "0,1": "0,1",
    "max_split_size_mb:128": "max_split_size_mb:128",
}


@pytest.mark.parametrize("value", PATHS)
def test_paths_are_not_published(bare_environment, monkeypatch, value):
    monkeypatch.setattr("jax.devices", lambda: [SimpleNamespace(platform="cpu")])  # XLA itself must not read these
    assert without_paths(value) == PATHS[value]
    bare_environment("XLA_FLAGS", value)
    bare_environment("TF_XLA_FLAGS", value)
    found = describe_machine()
    assert (found.xla_flags, found.environment) == (PATHS[value], {"TF_XLA_FLAGS": PATHS[value]})


def test_a_machine_is_like_itself_and_survives_json():
    found = describe_machine(["hypothesis"])
    assert machine_differences(found, describe_machine(["hypothesis"])) == []
    assert msgspec.json.decode(msgspec.json.encode(found), type=Machine) == found
    assert machine_differences(found, describe_machine()) == [f"hypothesis not set, was {version('hypothesis')}"]


def test_this_machine(monkeypatch):
    found = describe_machine()
    assert load_average() >= 0
    assert found.backend == "cpu"
    assert found.device == cpu_name() != ""
    assert found.threads == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert describe_machine().threads == 3


def test_versions_are_of_what_matters_and_of_what_is_asked_for():
    found = versions_of(["jax", "no-such-distribution"])
    assert list(found) == ["python", *PACKAGES, "no-such-distribution"]
    assert found["python"] == platform.python_version()
    assert found["jax"] == version("jax")
    assert found["no-such-distribution"] == "not installed"


CUDA_12 = ["jax-cuda12-pjrt", "jax-cuda12-plugin", "nvidia-cublas-cu12", "nvidia-cuda-nvcc-cu12",
           "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"]  # fmt: skip
CUDA_13 = ["jax-cuda13-pjrt", "jax-cuda13-plugin", "nvidia-cublas", "nvidia-cuda-nvcc", "nvidia-cuda-runtime",
           "nvidia-cudnn-cu13"]  # fmt: skip


@pytest.mark.parametrize("wanted", [CUDA_12, CUDA_13, []])
def test_cuda_and_cudnn_are_found_among_what_is_installed(wanted):
    others = ["jax", "nvidia-cufft-cu12", "nvidia-cuda-runtimes", "nvidia-ml-py", "torch", "cuda-python", None]
    assert cuda_packages([*others, *(name.replace("-", "_") for name in reversed(wanted))]) == wanted
    assert cuda_packages([*wanted, *wanted]) == wanted


@pytest.mark.parametrize(("platform", "recorded"), [("gpu", True), ("cpu", False)])
def test_versions_of_cuda_are_recorded_on_a_gpu(monkeypatch, tmp_path, platform, recorded):
    info = tmp_path / "nvidia_cudnn_cu13-9.14.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu13\nVersion: 9.14.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    client = SimpleNamespace(platform_version="PJRT C API\ncuda 13000")
    device = SimpleNamespace(platform=platform, device_kind="A GPU", client=client)
    monkeypatch.setattr("jax.devices", lambda: [device])
    found = describe_machine().versions
    further = {name: found[name] for name in found if name not in ("python", *PACKAGES)}
    assert further == ({"nvidia-cudnn-cu13": "9.14.0", "platform": "PJRT C API cuda 13000"} if recorded else {})


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that trigru seems to be run from, as in its own checkout; gives git and the module's file."""
    file = tmp_path / "bench" / "timing" / "machine.py"
    for path in (file, tmp_path / "common" / "module.py", tmp_path / "impls" / "module.py"):
        path.parent.mkdir(parents=True)
        path.write_text("one")
    monkeypatch.setattr(machine_module, "__file__", str(file))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return git, file


def test_the_commit_is_that_of_the_checkout(checkout):
    git, file = checkout
    assert commit_of_trigru() == ""
    git("init", "-q")
    (file.parents[2] / "README").write_text("read me")
    git("add", "README")
    git("commit", "-qm", "without the package")
    assert commit_of_trigru() == "", "installed beneath somebody else's repository"
    git("add", ".")
    git("commit", "-qm", "with it")
    commit = commit_of_trigru()
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert commit == git("rev-parse", "HEAD")
    (file.parent / "untracked").write_text("of no account")
    assert commit_of_trigru() == commit
    (file.parents[2] / "README").write_text("changed, and measured alike")
    assert commit_of_trigru() == commit
    for path in ("bench/timing/machine.py", "common/module.py", "impls/module.py"):
        (file.parents[2] / path).write_text("changed")
        assert commit_of_trigru() == f"{commit}-dirty", path
        git("checkout", path)


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit_of_trigru() == ""

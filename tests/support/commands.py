"""What every command hands on to the function below it, as it is called and with each of its options.

A value stands under function and parameter; "plan" is the function that makes the plan, "done" the last that is called.
"""

from pathlib import Path
from typing import Any

from trigru.bench.commands.verify import Thorough

HOW = {
    "--quick": {"plan.quick": True},
    "--rounds 7": {"plan.rounds": 7},
    "--processes 3": {"plan.processes": 3},
    "--limit 9": {"plan.limit_s": 9.0},
    "--compile-anew": {"plan.compile_anew": True},
    "--seed 5": {"plan.seed": 5},
    "--dtype bfloat16": {"plan.dtype": "bfloat16"},
    "--precision high": {"plan.precision": "high"},
    "--autotune fixed": {"plan.autotune": "fixed"},
}
WHAT = {
    "--workload tiny": {"plan.workloads": ["tiny"]},
    "--size hidden=8": {"plan.sizes": ["hidden=8"]},
    "--phase step": {"plan.phases": ["step"]},
    "--style jit": {"plan.styles": ["jit"]},
    "--kernel fused": {"plan.kernels": ["fused"]},
    "--peers": {"plan.peers": True},
    "--sweep hidden=4,8": {"plan.sweep": "hidden=4,8"},
}
SHOWN = {
    "--resume": {"done.unfinished": "resume"},
    "--discard": {"done.unfinished": "discard"},
    "--details": {"done.details": True},
    "--json": {"done.json": True},
}
CLAIM = {
    "--wait": {"claim_folder.wait": True},
    "--share": {"claim_folder.share": True},
    "--output x": {"claim_folder.folder": Path("x"), "done.folder": Path("x")},
}
JOINED = {
    "--coordinator h:1": {"read_cluster.coordinator": "h:1"},
    "--hosts 2": {"read_cluster.hosts": 2},
    "--host 1": {"read_cluster.host": 1},
    "--distributed": {"read_cluster.distributed": True},
}

#: By the words that a command needs at least: what its functions receive that is neither None nor False nor empty.
USUAL: dict[str, dict[str, Any]] = {
    "compare": {"claim_folder.folder": Path("results"), "Prover.keep": True, "Prover.early": True,
        "make_plan.seed": 0, "make_plan.dtype": "float32", "make_plan.precision": "highest",
        "make_plan.autotune": "each", "compare.plan": "a plan", "compare.folder": Path("results"),
        "compare.unfinished": "refuse", "compare.prover": "the prover"},
    "verify": {"Prover.keep": True, "Prover.early": True, "verify.prover": "the prover"},
    "verify --thorough": {"Prover.keep": True, "Prover.early": True, "verify.prover": "the prover",
        "verify.thorough": Thorough()},
    "verify --upstream": {"Prover.keep": True, "Prover.early": True, "report_upstream.prover": "the prover"},
    "verify --self-test": {"Prover.keep": True, "Prover.early": True, "Prover.fast": True,
        "report_self_test.prover": "the prover"},
    "bench": {"make_plan.seed": 0, "make_plan.dtype": "float32", "make_plan.precision": "highest",
        "make_plan.autotune": "each", "claim_folder.folder": Path("results"), "benchmark.plan": "a plan",
        "benchmark.folder": Path("results"), "benchmark.unfinished": "refuse"},
    "bench --calibrate": {"calibration_plan.seed": 0, "calibration_plan.dtype": "float32",
        "calibration_plan.precision": "highest", "calibration_plan.autotune": "each",
        "claim_folder.folder": Path("results"), "benchmark.plan": "that of a calibration",
        "benchmark.folder": Path("results"), "benchmark.unfinished": "refuse"},
    "bench --cold-start": {"claim_folder.folder": Path("results"), "start_cold.folder": Path("results"),
        "start_cold.ports": ("pure", "linen", "nnx", "equinox")},
    "convert a b": {"convert.source": Path("a"), "convert.target": Path("b")},
    "report a b": {"report.paths": [Path("a"), Path("b")]},
    "train": {"claim_folder.folder": Path("results/train"), "train.unfinished": "refuse",
        "train.folder": Path("results/train")},
    "train --vanishing": {"claim_folder.folder": Path("results/train"),
        "train_vanishing.folder": Path("results/train")},
    "snapshot": {"claim_folder.folder": Path("snapshot"), "Prover.keep": True, "Prover.early": True,
        "snapshot.folder": Path("snapshot"), "snapshot.names": ("pure", "linen", "nnx", "equinox"),
        "snapshot.equality": True, "snapshot.prover": "the prover"},
    "diff a b": {"diff.old": Path("a"), "diff.new": Path("b"), "diff.fail_above": 0.05,
        "diff.fail_on": ("broken", "function", "draws", "tree", "checkpoints", "slower")},
    "diff a --now": {"diff.old": Path("a"), "diff.fail_above": 0.05,
        "diff.fail_on": ("broken", "function", "draws", "tree", "checkpoints", "slower")},
    "matrix a b": {"claim_folder.folder": Path("matrix"), "read_sets.sets": ["a", "b"], "read_sets.every": "2months",
        "matrix.sets": "sets", "matrix.folder": Path("matrix"), "matrix.equality": True},
    "bisect a b": {"claim_folder.folder": Path("bisect"), "find.good": "a", "find.bad": "b",
        "find.folder": Path("bisect")},
    "styles": {},
    "styles a b": {"print_code.name": "a", "print_code.style": "b"},
    "table a b": {"table.paths": [Path("a"), Path("b")], "table.to": "md", "table.ratio": "pure",
        "table.styles": ["documented", "functional"]},
}  # fmt: skip
#: By the same words, of each option: what becomes of what the functions receive.
OPTIONS: dict[str, dict[str, Any]] = {
    "compare": {
        **HOW, **WHAT, **SHOWN, **CLAIM,
        "--port pure": {"plan.ports": ["pure"], "Prover.early": False},
        "--quick": {"plan.quick": True, "done.quick": True},
        "--size hidden=8": {"plan.sizes": ["hidden=8"], "done.quick": True},
        "--resume": {"done.unfinished": "resume", "Prover.early": False},
        "--no-cache": {"Prover.keep": False, "done.anew": True},
        "--anew": {"done.anew": True},
        "--snapshot": {"done.snapshot": True},
    },
    "verify": {
        **JOINED,
        "--port pure": {"done.names": ["pure"], "Prover.early": False},
        "--dtype float64": {"done.dtypes": ["float64"], "Prover.early": False},
        "--check step": {"done.checks": ["step"], "Prover.early": False},
        "--kernel fused": {"done.kernels": ["fused"]},
        "--json": {"done.json": True},
        "--devices 2": {"done.devices": 2},
        "--no-cache": {"Prover.keep": False, "done.anew": True},
        "--anew": {"done.anew": True},
    },
    "verify --thorough": {
        "--port pure": {"done.names": ["pure"], "Prover.early": False},
        "--kernel fused": {"done.kernels": ["fused"]},
        "--json": {"done.json": True},
        "--devices 2": {"done.devices": 2},
        "--budget 9": {"done.thorough": Thorough(9.0, None)},
        "--seed 0": {"done.thorough": Thorough(None, 0)},
        "--no-cache": {"Prover.keep": False, "done.anew": True},
        "--anew": {"done.anew": True},
    },
    "verify --upstream": {
        "--port linen": {"done.names": ["linen"], "Prover.early": False},
        "--dtype float64": {"done.dtypes": ["float64"], "Prover.early": False},
        "--check step": {"done.checks": ["step"], "Prover.early": False},
        "--json": {"done.json": True},
        "--no-cache": {"Prover.keep": False},
    },
    "verify --self-test": {"--no-cache": {"Prover.keep": False}},
    "bench": {
        **HOW, **WHAT, **SHOWN, **CLAIM, **JOINED,
        "--port pure": {"plan.ports": ["pure"]},
        "--devices 1,2": {"plan.devices": "1,2"},
        "--weak": {"plan.weak": True},
    },
    "bench --calibrate": {**HOW, **SHOWN, **CLAIM},
    "bench --cold-start": {**CLAIM, "--port pure": {"done.ports": ("pure",)}},
    "convert a b": {
        "--to nnx": {"done.to": "nnx"},
    },
    "report a b": {
        "--details": {"done.details": True}, "--json": {"done.json": True}, "--output x": {"done.output": Path("x")},
    },
    "train": {
        "--experiment vowels": {"done.experiments": ["vowels"]},
        "--port nnx": {"done.frameworks": ["nnx"]},
        "--seeds 9": {"done.seeds": 9},
        "--quick": {"done.quick": True},
        "--resume": {"done.unfinished": "resume"},
        "--discard": {"done.unfinished": "discard"},
        "--output x": CLAIM["--output x"],
    },
    "train --vanishing": {
        "--port nnx": {"done.frameworks": ["nnx"]},
        "--seeds 9": {"done.seeds": 9},
        "--quick": {"done.quick": True},
        "--output x": CLAIM["--output x"],
    },
    "snapshot": {
        "--port nnx": {"done.names": ("nnx",), "Prover.early": False},
        "--no-equality": {"done.equality": False, "Prover.early": False},
        "--no-cache": {"Prover.keep": False, "done.anew": True},
        "--anew": {"done.anew": True},
        "--output x": CLAIM["--output x"],
    },
    "diff a b": {
        "--fail-on draws": {"done.fail_on": ("draws",)},
        "--fail-above 0.5": {"done.fail_above": 0.5},
        "--absolute": {"done.absolute": True},
        "--allow-missing": {"done.allow_missing": True},
        "--allow-other-machine": {"done.allow_other_machine": True},
        "--details": {"done.details": True},
        "--output x": {"done.output": Path("x")},
    },
    "matrix a b": {
        "--from 2025-01": {"read_sets.first": "2025-01"},
        "--every week": {"read_sets.every": "week"},
        "--last 3": {"read_sets.last": 3},
        "--port nnx": {"done.ports": ["nnx"]},
        "--python 3.11": {"done.python": "3.11"},
        "--no-equality": {"done.equality": False},
        "--bench": {"done.bench": True},
        "--details": {"done.details": True},
        "--output x": CLAIM["--output x"],
    },
    "bisect a b": {
        "--fact draws": {"done.fact": "draws"},
        "--port nnx": {"done.ports": ["nnx"]},
        "--python 3.11": {"done.python": "3.11"},
        "--with pytest": {"done.more": ["pytest"]},
        "--output x": CLAIM["--output x"],
        "-- make test": {"done.command": ["make", "test"]},
    },
    "styles a b": {"--phase step": {"done.phase": "step"}},
    "table a b": {
        "--format csv": {"done.to": "csv"},
        "--ratio time": {"done.ratio": "time"},
        "--workload tiny": {"done.workloads": ["tiny"]},
        "--phase step": {"done.phases": ["step"]},
        "--style leaves": {"done.styles": ["leaves"]},
    },
}  # fmt: skip
#: Those that say what else a command does.
WAYS = {"verify": {"--thorough", "--upstream", "--self-test"}, "bench": {"--calibrate", "--cold-start"},
        "train": {"--vanishing"}, "diff": {"--now"}}  # fmt: skip

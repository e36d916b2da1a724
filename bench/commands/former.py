"""Former names of commands and options, each with the sentence that says what to use; they answer for one release."""

#: By the name of the command.
COMMANDS: dict[str, str] = {
    "table": "`trigru table` is `trigru report --format` now: markdown, csv, latex, json or html.",
    "bench": "`trigru bench` is `trigru compare --no-proof` now; with --cold-start, `trigru compare --cold-start`.",
    "train": "`trigru train` is a script of the repository now: bench/studies/training/study.py, and vanishing.py.",
}
#: By the name of the option, whichever command had it.
OPTIONS: dict[str, str] = {
    "--calibrate": "--calibrate is a script of the repository now: bench/studies/calibration.py.",
    "--coordinator": "--coordinator is a part of --hosts of `trigru verify`, as in --hosts 10.0.0.1:8476,2,0.",
    "--host": "--host is a part of --hosts of `trigru verify`, as in --hosts 10.0.0.1:8476,2,0.",
    "--distributed": "--distributed is --hosts auto of `trigru verify`.",
    "--hosts": "--hosts is an option of `trigru verify` alone.",
    "--rounds": "--rounds is gone: a group gets as many rounds as fill its time; --processes says how often.",
    "--sweep": "--sweep is now --size with several values, as in --size hidden=8,32,128.",
    "--seed": "--seed is gone: the orders of arms and the bootstrap are drawn with the seed 0.",
    "--resume": "--resume is not needed: the same command continues what was stopped; --fresh deletes it.",
    "--discard": "--discard is now --fresh of `trigru compare`.",
    "--wait": "--wait is not needed: a trigru that uses the machine or the folder is always waited for.",
    "--json": "--json is now --format json.",
    "--cache": "--cache is the default; set the variable TRIGRU_NO_CACHE=1 to keep nothing.",
    "--no-cache": "--no-cache is the variable TRIGRU_NO_CACHE=1 now.",
    "--absolute": "--absolute is gone: two runs are compared by their ratios to plain JAX.",
    "--allow-missing": "--allow-missing is now --anyway.",
    "--allow-other-machine": "--allow-other-machine is now --anyway.",
    "--bench": "--bench is gone: run `trigru compare` in each environment, and compare two by `trigru diff`.",
    "--phase": "--phase is gone here: the code of a call style has all its phases.",
    "--limit": "--limit is gone: a process that says nothing for 300 seconds is ended.",
    "--compile-anew": "--compile-anew is gone: two of ten processes compile, and the others take their programs.",
    "--autotune": "--autotune is gone: on a GPU, every process tunes its programs.",
    "--snapshot": "--snapshot is a command: trigru snapshot -o FOLDER takes what was proven before.",
    "--share": "--share is gone: the second of two runs on one machine waits for the first.",
    "--weak": "--weak is gone: --devices spreads one batch; time a larger one with --size batch=N.",
    "--thorough": "--thorough is gone: all default checks always run; --check scale checks accuracy at large sizes.",
    "--last": "--last is gone: say with --from at which day to begin.",
    "--allow-pickle": "--allow-pickle is not needed: .pt and .pth files are read by torch.load(weights_only=True).",
    "--peers": "--peers is now a port to name: --port torch, beside the others.",
}
#: The commands that had an option, where its name could be meant otherwise in others.
ONLY: dict[str, tuple[str, ...]] = {"--json": ("compare", "verify", "report"), "--phase": ("styles",)}

"""Former names of commands and options, each with the sentence that says what to use; they answer for one release."""

#: By the name of the command.
COMMANDS: dict[str, str] = {
    "table": "`trigru table` is `trigru report --format` now: markdown, csv, latex, json or html.",
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
    "--limit": "--limit is gone: a process that says nothing for 300 seconds is ended.",
    "--compile-anew": "--compile-anew is gone: two of ten processes compile, and the others take their programs.",
    "--autotune": "--autotune is gone: on a GPU, every process tunes its programs.",
    "--snapshot": "--snapshot is a command: trigru snapshot -o FOLDER takes what was proven before.",
    "--share": "--share is gone: two runs on one machine disturb each other; --wait begins when the other has ended.",
    "--weak": "--weak is gone: --devices spreads one batch; time a larger one with --size batch=N.",
    "--last": "--last is gone: say with --from at which day to begin.",
    "--allow-pickle": "--allow-pickle is not needed: .pt and .pth files are read by torch.load(weights_only=True).",
    "--json": "--json of `trigru report` is --format json now, which has the answer of each run, too.",
    "--peers": "--peers is now a port to name: --port torch, beside the others.",
}

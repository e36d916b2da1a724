"""Former names of commands and options, which for one release answer with what to use."""

#: By the name of the command.
COMMANDS = {
    "table": "`trigru report --format` with markdown, csv, latex, json or html",
    "bench": "`trigru compare --no-proof` or `trigru compare --cold-start`",
    "train": "a script of the repository: bench/studies/training.py, and vanishing.py",
}
#: By the name of the option, whichever command had it.
OPTIONS = {
    "--calibrate": "a script of the repository: bench/studies/calibration.py",
    "--coordinator": "a part of --hosts of `trigru verify`, as in --hosts 10.0.0.1:8476,2,0",
    "--host": "a part of --hosts of `trigru verify`, as in --hosts 10.0.0.1:8476,2,0",
    "--distributed": "--hosts auto of `trigru verify`",
    "--sweep": "--size with several values, as in --size hidden=8,32,128",
    "--resume": "not needed: the same command continues what was stopped; --fresh deletes it",
    "--discard": "--fresh of `trigru compare`",
    "--json": "--format json",
    "--cache": "the default; the variable TRIGRU_NO_CACHE=1 turns it off",
    "--no-cache": "the variable TRIGRU_NO_CACHE=1",
    "--allow-missing": "--anyway",
    "--allow-other-machine": "--anyway",
    "--snapshot": "a command: trigru snapshot -o FOLDER",
    "--peers": "a port to name: --port torch, beside the others",
}

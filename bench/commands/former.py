"""Former names of commands and options, each with the sentence that says what to use; they answer for one release."""

#: By the name of the command.
COMMANDS: dict[str, str] = {
    "train": "`trigru train` is a script of the repository now: bench/studies/training/study.py, and vanishing.py."
}
#: By the name of the option, whichever command had it.
OPTIONS: dict[str, str] = {
    "--calibrate": "--calibrate is a script of the repository now: bench/studies/calibration.py.",
    "--peers": "--peers is now a port to name: --port torch, beside the others.",
}

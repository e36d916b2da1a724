"""Former names of commands and options, each with the sentence that says what to use; they answer for one release."""

#: By the name of the command.
COMMANDS: dict[str, str] = {}
#: By the name of the option, whichever command had it.
OPTIONS: dict[str, str] = {"--peers": "--peers is now a port to name: --port torch, beside the others."}

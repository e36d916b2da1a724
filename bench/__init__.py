"""The command line, and all that it measures and compares."""


def main() -> None:
    """Run the command line.

    Signals are heard from here on, since its imports take a second.
    """
    from .processes.interrupts import listen

    listen()
    from .cli import main

    main()

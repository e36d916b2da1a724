"""How times are taken: the clock, the processes that measure and the one that watches them, and the machine."""

"""How times are measured: samples, the processes that measure, the process that watches them, and the machine."""

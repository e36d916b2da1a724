"""The protocol of ports, their call styles and tasks, and the programs of XLA."""

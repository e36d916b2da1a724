"""The phases of a port and the labels of its call styles, by name.

Names are read before JAX is: this module imports nothing.
"""

#: What a port computes; `task` says what each is.
PHASES = ("forward", "gradient", "train_step", "step")

# The labels of call styles, whatever their ports call them. Frameworks are compared in
# styles of one label.

#: What the framework's documentation leads with: the port's first style of a phase.
DOCUMENTED = "documented"
#: The parameters are one pytree, which goes in and out of `jax.jit`.
FUNCTIONAL = "functional"
#: Functional, with a list of the arrays.
LEAVES = "leaves"
#: Functional, and the old parameters and optimiser state are given up to the new ones.
DONATED = "donated"
LABELS = (DOCUMENTED, FUNCTIONAL, LEAVES, DONATED)


def unknown_phase(phase: str, place: str) -> NotImplementedError:
    """The error of a function that has no branch for a phase.

    >>> str(unknown_phase("loss", "functional_program in port/styles.py"))
    "functional_program in port/styles.py has no branch for the phase 'loss'."
    """
    return NotImplementedError(f"{place} has no branch for the phase {phase!r}.")

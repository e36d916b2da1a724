"""A faulty port of Equinox."""

import jax.numpy as jnp

from ..equinox import EquinoxPort


class FirstReset(EquinoxPort):
    """Takes a passed carry for the start of an episode: a reset before the first step counts only without a carry."""

    def apply(self, model, x, carry=None, *, resets=None, time_major=False, **options):
        if carry is not None and resets is not None:
            first = (0,) if time_major else (..., 0)
            resets = jnp.asarray(resets).at[first].set(False)
        return super().apply(model, x, carry, resets=resets, time_major=time_major, **options)

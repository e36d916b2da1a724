"""What older versions of JAX and Optax call otherwise, or lack: found by looking, not by the number of a version."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any


def enable_x64(wanted: bool) -> AbstractContextManager[Any]:
    """JAX with 64-bit types, or without, within a context: `jax.enable_x64` from JAX 0.8 on."""
    import jax

    if callable(getattr(jax, "enable_x64", None)):
        return jax.enable_x64(wanted)
    from jax import experimental

    return vars(experimental)["enable_x64"](wanted)


def partition(transforms: dict[str, Any], labels: Any) -> Any:
    """A transformation for each label: `optax.partition` from Optax 0.2.5 on."""
    import optax

    return (getattr(optax, "partition", None) or vars(optax)["multi_transform"])(transforms, labels)


def dotted(path: Sequence[Any]) -> str:
    """The keys on the way to a leaf, joined by dots: `jax.tree_util.keystr` from JAX 0.5 on.

    >>> import jax
    >>> [dotted(path) for path, _ in jax.tree_util.tree_leaves_with_path({"a": [1, 2]})]
    ['a.0', 'a.1']
    """
    keys = (next(getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name)) for key in path)
    return ".".join(map(str, keys))


def varying_axes(array: Any) -> frozenset[str]:
    """The axes of a `jax.shard_map` over which an array varies; none where JAX does not say, as before 0.7."""
    import jax

    typeof = getattr(jax, "typeof", None)
    return frozenset(getattr(getattr(typeof and typeof(array), "manual_axis_type", None), "varying", ()))


def stop_listening(listener: Callable[..., None], *, of_durations: bool) -> None:
    """Take a listener of `jax.monitoring` away: its own functions from JAX 0.6 on."""
    from jax import monitoring

    name = "unregister_event_duration_listener" if of_durations else "unregister_event_listener"
    if hasattr(monitoring, name):
        getattr(monitoring, name)(listener)
        return
    from jax._src import monitoring as inner  # before that, it had none in public

    kind = "_duration" if of_durations else ""
    getattr(inner, f"_unregister_event{kind}_listener_by_callback")(listener)

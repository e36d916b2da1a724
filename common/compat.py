"""Functions that older versions of JAX and Optax lack, or have under other names."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import monitoring
from jax.sharding import NamedSharding, PartitionSpec


def enable_x64(wanted: bool) -> AbstractContextManager[Any]:
    """Switch JAX's 64-bit types on or off within a context.

    It is `jax.enable_x64` from JAX 0.8 on.
    """
    if callable(getattr(jax, "enable_x64", None)):
        return jax.enable_x64(wanted)
    from jax import experimental

    return vars(experimental)["enable_x64"](wanted)


def dotted(path: Sequence[Any]) -> str:
    """The keys on the way to a leaf, joined by dots, as "a.0".

    It is `jax.tree_util.keystr` from JAX 0.5 on.
    """
    return ".".join(map(name_of_key, path))


def name_of_key(key: Any) -> str:
    """The name of one key: that of a dict, a sequence or an attribute."""
    for name in ("key", "idx", "name"):
        if hasattr(key, name):
            return str(getattr(key, name))
    raise TypeError(f"{key!r} is no key of a pytree that JAX knows")


def linear(function: Callable[..., Any]) -> Callable[..., Any]:
    """A linear function of arrays with a `jax.lax.scan`, which JAX can transpose.

    From JAX 0.10 on, it is the function itself.
    """
    if jax.__version_info__ >= (0, 10):
        return function

    def derivative(*arguments: Any) -> Any:
        zeros = tuple(map(jnp.zeros_like, arguments))
        _, tangent = jax.jvp(function, zeros, arguments)
        return tangent

    return derivative


def varying_axes(array: Any) -> frozenset[str]:
    """The axes of a `jax.shard_map` over which an array varies.

    There are none where JAX does not say, as before 0.7.
    """
    if not hasattr(jax, "typeof"):
        return frozenset()
    aval = jax.typeof(array)
    axis_type = getattr(aval, "manual_axis_type", None)  # from JAX 0.10 on
    if axis_type is not None:
        return frozenset(axis_type.varying)
    return frozenset(getattr(aval, "vma", ()))


def vary_over(array: Any, axes: Sequence[str]) -> Any:
    """An array that varies over these axes of a `jax.shard_map`, too.

    It is `jax.lax.pcast` from JAX 0.8.2 on.
    """
    if not axes:
        return array
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(array, tuple(axes), to="varying")
    return vars(jax.lax)["pvary"](array, tuple(axes))


def vary_alike(*arrays: Any) -> tuple[Any, ...]:
    """Arrays that vary over the same axes of a `jax.shard_map`.

    Those are all the axes over which one of them varied before.
    """
    every = frozenset[str]()  # stays empty outside of a jax.shard_map
    for array in arrays:
        every |= varying_axes(array)
    return tuple(vary_over(a, sorted(every - varying_axes(a))) for a in arrays)


def explicit_sharding(array: Any) -> Any:
    """The sharding that an array has by its type.

    It has one on a mesh with explicit axes; elsewhere, this is None.
    """
    if not hasattr(jax, "typeof") or not hasattr(jax.sharding, "reshard"):
        return None
    sharding = getattr(jax.typeof(array), "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    return sharding if getattr(mesh, "explicit_axes", ()) else None


def sharded(sharding: Any, *axes: Any) -> Any:
    """A sharding on the same mesh.

    Each axis of an array is spread over one of these axes of the mesh, or over none for
    None.
    """
    return NamedSharding(sharding.mesh, PartitionSpec(*axes))


def broadcast_as(array: Any, shape: Sequence[Any], frames: Any, first: int = 0) -> Any:
    """An array broadcast to (*batch, K), and spread over devices as frames are.

    Frames (..., *batch, features) are spread over a mesh with explicit axes. `first` is
    the first axis of the frames that the shape has, too; sizes may be symbolic.
    """
    sharding = explicit_sharding(frames)
    if sharding is None:
        return jnp.broadcast_to(array, shape)
    to = sharded(sharding, *sharding.spec[first:-1], None)
    if array.ndim == len(shape):
        return jax.sharding.reshard(jnp.broadcast_to(array, shape), to)
    # Where it is broadcast, its gradient is summed.
    axes = tuple(range(len(shape) - array.ndim, len(shape)))
    return jax.lax.broadcast_in_dim(array, shape, axes, out_sharding=to)


@contextmanager
def watch_events() -> Iterator[dict[str, list[float]]]:
    """How long each event of `jax.monitoring` within this context took.

    The times are in seconds, by the last part of the event's name; 0 where JAX does not
    say. From JAX 0.6 on, the module can take a listener away.
    """
    events: dict[str, list[float]] = defaultdict(list)

    def listen(event: str, *duration_s: Any, **_: Any) -> None:
        events[event.rpartition("/")[2]].append(sum(duration_s, 0.0))

    monitoring.register_event_listener(listen)
    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        if hasattr(monitoring, "unregister_event_listener"):
            monitoring.unregister_event_listener(listen)
            monitoring.unregister_event_duration_listener(listen)
        else:
            from jax._src import monitoring as inner

            for kind in ("event", "event_duration"):
                getattr(inner, f"_unregister_{kind}_listener_by_callback")(listen)

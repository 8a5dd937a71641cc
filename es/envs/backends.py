"""Where a physics engine is found by its name. Engines are imported only when asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from es.envs.physics import Physics
from es.errors import UsageError

BACKENDS = {
    "opensim": "es.envs.opensim_physics:OpenSimPhysics",
    "native": "es.native.physics:NativePhysics",
}


def make_physics(backend: str, integrator: str, accuracy: float | None) -> Physics:
    """Build the engine called ``backend``.

    Args:
        backend: a key of `BACKENDS`.
        integrator: name of one of the engine's integrators.
        accuracy: the integrator's error tolerance; None takes the integrator's recommended one.

    Raises:
        UsageError: unknown backend, a backend that cannot be imported here, or options it refuses.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    module, _, name = BACKENDS[backend].partition(":")
    try:
        engine = getattr(import_module(module), name)
    except ImportError as error:
        raise UsageError(f"backend {backend!r} cannot be imported on this machine: {error}") from error
    return cast(Callable[..., Physics], engine)(integrator=integrator, accuracy=accuracy)

"""From the experiment's ``[strategy]`` to its functions: the one place where all strategies are known."""

from typing import Any, Protocol

from es import config
from es.strategies import ars, cma_es, openai_es, pgpe, random_search, sep_cma_es, snes
from es.strategies.matrices import product
from es.strategies.update import Array, Noise, Update


class State(Protocol):
    """A search distribution: a named tuple of float64 arrays, all of which go into the checkpoint."""

    @property
    def theta(self) -> Array:
        """The centre, shape (dim,)."""

    def _asdict(self) -> dict[str, Any]: ...


_MODULES: dict[type[config.AnyStrategy], Any] = {
    config.OpenAIES: openai_es,
    config.ARS: ars,
    config.PGPE: pgpe,
    config.SNES: snes,
    config.SepCMAES: sep_cma_es,
    config.CMAES: cma_es,
    config.RandomSearch: random_search,
}
_INDEPENDENT = (config.SNES, config.SepCMAES, config.CMAES, config.RandomSearch)


def mirrored(strategy: config.AnyStrategy) -> bool:
    """Whether the policies of a pair are theta +- scale eps.

    Otherwise each has an eps of its own, number 2 x pair for the first and 2 x pair + 1 for the second.
    """
    return not isinstance(strategy, _INDEPENDENT)


def init(strategy: config.AnyStrategy, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    state: State = _MODULES[type(strategy)].init(strategy, theta)
    return state


def ask(strategy: config.AnyStrategy, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre, shape (dim,), and scale.

    The scale has shape (1,) or (dim,), standard deviations, or (dim, dim), a matrix A with covariance A A^T.
    """
    distribution: tuple[Array, Array] = _MODULES[type(strategy)].ask(strategy, state)
    return distribution


def tell(
    strategy: config.AnyStrategy, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Learn from a generation.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), of each pair's two policies; NaN where failed.
        sign_returns: same shape, each episode's sum of sign(reward); NaN where failed.
        noise: eps of a pair if ``mirrored``, else of a policy, shape (dim,), standard normal.
    """
    result: tuple[State, Update] = _MODULES[type(strategy)].tell(
        strategy, state, returns, sign_returns, noise
    )
    return result


def restore(strategy: config.AnyStrategy, arrays: dict[str, Array]) -> State:
    """The state whose ``_asdict()`` this was.

    Raises:
        KeyError: an array is missing.
    """
    state_type = _MODULES[type(strategy)].State
    state: State = state_type(*(arrays[name] for name in state_type._fields))
    return state


def displaced(scale: Array, eps: Array) -> Array:
    """How far a perturbation leads: scale times eps, shape (dim,); ``scale`` as in ``ask``."""
    return product(scale, eps) if scale.ndim == 2 else scale * eps

"""From the experiment's ``[strategy]`` to the functions of its file."""

from types import ModuleType

from es import config
from es.strategies import ars, cma_es, openai_es, pgpe, sep_cma_es, snes
from es.strategies.update import Array, Noise, Update

State = openai_es.State | ars.State | pgpe.State | snes.State | sep_cma_es.State | cma_es.State
"""A NamedTuple of arrays, all that a strategy remembers; the first is the centre, ``theta``, shape (dim,)."""

_MODULES: dict[type[config.AnyStrategy], ModuleType] = {
    config.OpenAIES: openai_es,
    config.ARS: ars,
    config.PGPE: pgpe,
    config.SNES: snes,
    config.SepCMAES: sep_cma_es,
    config.CMAES: cma_es,
}


def init(settings: config.AnyStrategy, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    state: State = _MODULES[type(settings)].init(settings, theta)
    return state


def ask(settings: config.AnyStrategy, state: State) -> tuple[Array, Array]:
    """The distribution to sample.

    Returns:
        The centre, shape (dim,), and its scale: shape (1,) or (dim,), multiplied with eps, or (dim, dim),
        a matrix to multiply eps with.
    """
    distribution: tuple[Array, Array] = _MODULES[type(settings)].ask(settings, state)
    return distribution


def tell(
    settings: config.AnyStrategy, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """The state after a generation.

    Args:
        settings: of the strategy.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2); NaN where failed. If ``mirrored``, row i holds the returns of
            theta + scale eps_i and theta - scale eps_i, else those of eps_2i and eps_2i+1, both added.
        sign_returns: same shape, each episode's sum of sign(reward); NaN where failed.
        noise: eps of an index, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record.
    """
    told: tuple[State, Update] = _MODULES[type(settings)].tell(settings, state, returns, sign_returns, noise)
    return told


def mirrored(settings: config.AnyStrategy) -> bool:
    """Whether the two episodes of a pair use one perturbation with both signs, or one each."""
    return isinstance(settings, config.OpenAIES | config.ARS | config.PGPE)


def restored(settings: config.AnyStrategy, arrays: dict[str, Array]) -> State:
    """The state whose ``_asdict()`` was ``arrays``.

    Raises:
        KeyError: an array is missing.
    """
    kind = _MODULES[type(settings)].State
    state: State = kind(**{name: arrays[name] for name in kind._fields})
    return state

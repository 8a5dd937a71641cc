"""All randomness, addressed instead of stored: the same numbers on every host, in any order.

Each draw comes from a Philox counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy
as 1, 2, 3") whose key is (run seed, stream) and whose counter starts at (generation, index). Nothing is
shared, nothing is kept: a worker rebuilds a perturbation from three integers.
"""

import enum
import hashlib

import numpy as np
from numpy.typing import NDArray


class Stream(enum.IntEnum):
    """What the numbers are for; streams of one seed never overlap. Values are part of a run's identity."""

    PERTURBATION = 0
    EPISODE_SEED = 1
    ACTION = 2
    STATISTICS = 3
    INITIAL_PARAMETERS = 4


def generator(stream: Stream, seed: int, generation: int = 0, index: int = 0) -> np.random.Generator:
    """A generator of its own for this address; all arguments are at least 0 and below 2**63."""
    return np.random.Generator(
        np.random.Philox(
            key=np.array([seed, stream], dtype=np.uint64),
            # The two low words count the draws: 2**128 of them before two addresses meet.
            counter=np.array([0, 0, index, generation], dtype=np.uint64),
        )
    )


def perturbation(seed: int, generation: int, pair: int, dim: int) -> NDArray[np.float32]:
    """Epsilon of one mirrored pair: standard normal, shape (dim,)."""
    return generator(Stream.PERTURBATION, seed, generation, pair).standard_normal(dim, dtype=np.float32)


def episode_seed(seed: int, generation: int, pair: int) -> int:
    """Seed of the environment, in [0, 2**31): one for both signs, so that they meet the same task."""
    return int(generator(Stream.EPISODE_SEED, seed, generation, pair).integers(2**31))


def feeds_statistics(seed: int, generation: int, pair: int, fraction: float) -> tuple[bool, bool]:
    """Whether the (+, -) episodes of a pair are among the sampled ``fraction`` that feeds the statistics."""
    plus, minus = generator(Stream.STATISTICS, seed, generation, pair).random(2) < fraction
    return bool(plus), bool(minus)


def fingerprint() -> str:
    """A digest of sample draws: hosts whose fingerprints are equal draw equal numbers.

    numpy may change its distributions between versions; comparing versions would be both too strict and too
    lax, comparing draws is exact.
    """
    digest = hashlib.sha256()
    for seed, generation, pair in ((0, 0, 0), (1, 2, 3), (2**62, 2**40, 2**40)):
        digest.update(perturbation(seed, generation, pair, 257).astype("<f4").tobytes())
        digest.update(episode_seed(seed, generation, pair).to_bytes(8, "little"))
        digest.update(bytes(feeds_statistics(seed, generation, pair, 0.5)))
        action = generator(Stream.ACTION, seed, generation, pair).standard_normal(65)
        digest.update(action.astype("<f8").tobytes())
    return digest.hexdigest()[:16]

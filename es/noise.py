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


def perturbation(seed: int, generation: int, index: int, dim: int) -> NDArray[np.float32]:
    """Epsilon of one mirrored pair, or of one policy: standard normal, shape (dim,)."""
    row = np.empty(dim, dtype=np.float32)
    draw_perturbation(seed, generation, index, row)
    return row


def draw_perturbation(seed: int, generation: int, index: int, row: NDArray[np.float32]) -> None:
    """Write the same into ``row``, shape (dim,)."""
    generator(Stream.PERTURBATION, seed, generation, index).standard_normal(dtype=np.float32, out=row)


def episode_seeds(seed: int, generation: int, pair: int, courses: int = 1) -> list[int]:
    """Seeds of the environment, in [0, 2**31): the same for both policies of a pair."""
    draws = generator(Stream.EPISODE_SEED, seed, generation, pair)
    return [int(draws.integers(2**31)) for _ in range(courses)]


def feeds_statistics(
    seed: int, generation: int, pair: int, fraction: float, courses: int = 1
) -> NDArray[np.bool_]:
    """Which episodes of a pair are among the sampled ``fraction`` that feeds the statistics.

    Shape (courses, 2).
    """
    if fraction in (0.0, 1.0):  # a generator takes as long to set up as a short episode
        return np.full((courses, 2), bool(fraction))
    chosen: NDArray[np.bool_] = (
        generator(Stream.STATISTICS, seed, generation, pair).random((courses, 2)) < fraction
    )
    return chosen


def fingerprint() -> str:
    """A digest of sample draws: hosts whose fingerprints are equal draw equal numbers.

    numpy may change its distributions between versions; comparing versions would be both too strict and too
    lax, comparing draws is exact.
    """
    digest = hashlib.sha256()
    for seed, generation, pair in ((0, 0, 0), (1, 2, 3), (2**62, 2**40, 2**40)):
        digest.update(perturbation(seed, generation, pair, 257).astype("<f4").tobytes())
        digest.update(episode_seeds(seed, generation, pair)[0].to_bytes(8, "little"))
        digest.update(feeds_statistics(seed, generation, pair, 0.5).tobytes())
        action = generator(Stream.ACTION, seed, generation, pair).standard_normal(65)
        digest.update(action.astype("<f8").tobytes())
    units = np.random.default_rng(0)  # as `es.policies.residual` draws
    digest.update(units.choice(89, 4, replace=False).astype("<i8").tobytes())
    digest.update(units.standard_normal(65).astype("<f8").tobytes())
    return digest.hexdigest()[:16]

"""Running mean and standard deviation of observations.

Merging uses the pairwise update of Chan, Golub and LeVeque 1979,
https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance#Parallel_algorithm. Merge in a fixed order
(the master: by pair, then sign) and the result does not depend on who answered first.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from es import config

Array = NDArray[np.float64]


class ObservationStatistics(NamedTuple):
    """Number, mean and sum of squared deviations of observations."""

    n: int
    """Observations seen."""
    mean: Array
    """Shape (observation_size,), in the observations' units."""
    m2: Array
    """Shape (observation_size,): sum of squared deviations from the mean."""

    @classmethod
    def empty(cls, size: int) -> Self:
        """Nothing seen yet."""
        return cls(0, np.zeros(size), np.zeros(size))

    @classmethod
    def of(cls, batch: Array) -> Self:
        """Statistics of a batch, shape (n, observation_size), n > 0."""
        mean = batch.mean(axis=0)
        return cls(len(batch), mean, ((batch - mean) ** 2).sum(axis=0))

    def merge(self, other: Self) -> Self:
        """Statistics of both sets together."""
        n = self.n + other.n
        if n == 0:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        m2 = self.m2 + other.m2 + delta**2 * (self.n * other.n / n)
        return type(self)(n, mean, m2)

    def with_mirror_images(self, mirror: NDArray[np.intp]) -> Self:
        """Statistics of these observations and as many mirror images, ``observation[mirror]``."""
        image_mean, image_m2 = self.mean[mirror], self.m2[mirror]
        # Sums of two terms do not depend on their order, so partners come out equal to the last bit.
        m2 = (self.m2 + image_m2) + (self.mean - image_mean) ** 2 * (self.n / 2)
        return type(self)(2 * self.n, (self.mean + image_mean) / 2, m2)

    def keeping(self, before: Self, kept: NDArray[np.bool_]) -> Self:
        """These statistics with mean and variance of ``before``, n > 0, where ``kept`` is True."""
        if kept.all():
            return before
        mean = np.where(kept, before.mean, self.mean)
        return type(self)(self.n, mean, np.where(kept, before.m2 * (self.n / before.n), self.m2))

    def std(self, floor: float) -> Array:
        """Population standard deviation, at least ``floor``; ones while nothing has been seen."""
        if self.n == 0:
            return np.ones_like(self.m2)
        return np.maximum(np.sqrt(self.m2 / self.n), floor)


class Normalizer(NamedTuple):
    """Maps observations to about zero mean and unit scale."""

    mean: Array
    std: Array
    clip: float
    """Results lie in [-clip, clip]."""

    def __call__(self, observation: Array) -> Array:
        """Normalise one observation, shape (observation_size,)."""
        return np.clip((observation - self.mean) / self.std, -self.clip, self.clip)


def frozen(settings: config.ObservationNormalization, generation: int, size: int) -> NDArray[np.bool_]:
    """Which of ``size`` observations no longer enter the statistics in this generation."""
    if settings.frozen_after is not None and generation > settings.frozen_after:
        return np.full(size, True)
    result = np.full(size, False)
    for feature in settings.features:
        if isinstance(feature, config.FrozenFeatures) and generation > feature.after:
            result[list(feature.observations)] = True
    return result


def normalizer(
    settings: config.ObservationNormalization, statistics: ObservationStatistics
) -> Normalizer | None:
    """What the settings make of the statistics; None while there is nothing to normalise by."""
    manual = [feature for feature in settings.features if isinstance(feature, config.ManualFeatures)]
    if not settings.enabled or (statistics.n == 0 and not manual):
        return None
    mean, std = statistics.mean.copy(), statistics.std(settings.std_floor)
    for feature in manual:
        mean[list(feature.observations)] = feature.mean
        std[list(feature.observations)] = feature.std
    return Normalizer(mean, std, settings.clip)

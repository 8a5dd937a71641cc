"""The perturbations of one generation, drawn by threads while its episodes run.

Every number is that of ``es.noise``, and every sum has its terms in order of index, whatever the threads do.
With 10,000 episodes of a policy with 166,000 parameters, drawing takes some ten seconds of processor time: as
long as the episodes themselves on the fleet of Salimans et al. 2017, whose table of noise this replaces.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from es import noise

Array = NDArray[np.float64]

MEMORY_SHARE = 0.25
"""Of the memory that is free, at most, for perturbations drawn ahead."""
BLOCK = 64
"""Perturbations that one thread draws in a row, and that are drawn at once when they do not fit."""
SLICE = 16384
"""Coordinates that one thread adds up, so that the sums stay in its cache."""
WORTHWHILE = 2**20
"""Numbers below which threads only get in the way."""


class Perturbations:
    """Epsilon by index; shape (dim,) each, standard normal, float32.

    As many as fit into memory are drawn ahead; the others when they are asked for.
    """

    def __init__(
        self, executor: ThreadPoolExecutor, seed: int, generation: int, dim: int, count: int
    ) -> None:
        """Begin to draw.

        Args:
            executor: whose threads draw and add; numpy lets them run at the same time.
            seed: of the run.
            generation: whose perturbations these are.
            dim: number of parameters.
            count: perturbations, with indices from 0.
        """
        self._address = (seed, generation)
        self._dim = dim
        self._count = count
        self._executor = executor
        fit = int(MEMORY_SHARE * psutil.virtual_memory().available) // (4 * dim)
        ahead = count if fit >= count else fit - fit % BLOCK
        ahead = ahead if dim * count >= WORTHWHILE else 0
        self._rows = np.empty((ahead, dim), dtype=np.float32)
        self._drawn = [
            executor.submit(self._draw, self._rows[start : start + BLOCK], start)
            for start in range(0, ahead, BLOCK)
        ]

    def _draw(self, rows: NDArray[np.float32], first: int) -> None:
        for index, row in enumerate(rows, start=first):
            noise.draw_perturbation(*self._address, index, row)

    def __call__(self, index: int) -> NDArray[np.float32]:
        """The perturbation of this index."""
        if index >= len(self._rows):
            return noise.perturbation(*self._address, index, self._dim)
        self._drawn[index // BLOCK].result()
        row: NDArray[np.float32] = self._rows[index]
        return row

    def weighted_sum(self, weights: Array) -> Array:
        """sum_i weights[i] eps_i, shape (dim,), added in order of i; terms of weight 0 are left out."""
        total = np.zeros(self._dim)
        if not len(self._rows):
            for index in np.flatnonzero(weights):
                total += weights[index] * self(int(index))
            return total
        for future in self._drawn:
            future.result()
        self._add_up(total, weights, self._rows, 0)
        left = range(len(self._rows), self._count, BLOCK)
        scratch = np.empty((min(BLOCK, self._count - len(self._rows)), self._dim), dtype=np.float32)
        for start in left:
            rows = scratch[: self._count - start]
            self._together([(self._draw, rows[i : i + 1], start + i) for i in range(len(rows))])
            self._add_up(total, weights, rows, start)
        return total

    def _add_up(self, total: Array, weights: Array, rows: NDArray[np.float32], start: int) -> None:
        weights = weights[start : start + len(rows)]
        slices = [slice(first, first + SLICE) for first in range(0, self._dim, SLICE)]
        self._together([(_add, total[each], weights, rows[:, each]) for each in slices])

    def _together(self, calls: list[tuple[Any, ...]]) -> None:
        for future in [self._executor.submit(*call) for call in calls]:
            future.result()

    def close(self) -> None:
        """Draw no more."""
        for future in self._drawn:
            future.cancel()


def _add(total: Array, weights: Array, rows: NDArray[np.float32]) -> None:
    term = np.empty_like(total)
    for weight, row in zip(weights, rows, strict=True):
        if weight:
            np.multiply(row, weight, out=term)
            np.add(total, term, out=total)


def threads() -> ThreadPoolExecutor:
    """As many as this machine has processors."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="perturbations")

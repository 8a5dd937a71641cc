import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from es import noise

seeds = st.integers(0, 2**62)
counters = st.integers(0, 2**40)


@given(seeds, counters, counters, st.integers(1, 300))
def test_a_perturbation_depends_on_its_address_alone(seed: int, generation: int, pair: int, dim: int) -> None:
    first = noise.perturbation(seed, generation, pair, dim)
    noise.perturbation(seed, generation, pair + 1, dim)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, noise.perturbation(seed, generation, pair, dim))
    # A longer vector begins with the shorter one: the dimension is not part of the address.
    np.testing.assert_array_equal(first, noise.perturbation(seed, generation, pair, dim + 7)[:dim])


@given(seeds, counters, counters)
def test_neighbouring_addresses_share_no_numbers(seed: int, generation: int, pair: int) -> None:
    here = noise.perturbation(seed, generation, pair, 64)
    for other in (
        noise.perturbation(seed + 1, generation, pair, 64),
        noise.perturbation(seed, generation + 1, pair, 64),
        noise.perturbation(seed, generation, pair + 1, 64),
    ):
        assert np.mean(here == other) < 0.1


def test_perturbations_are_standard_normal_and_uncorrelated() -> None:
    sample = np.stack([noise.perturbation(3, 1, pair, 500) for pair in range(400)]).astype(np.float64)
    assert abs(sample.mean()) < 0.01
    assert abs(sample.std() - 1) < 0.01
    correlation = np.corrcoef(sample)
    assert np.abs(correlation - np.eye(400)).max() < 0.3


@given(seeds, counters, counters)
def test_episode_seeds_fit_the_environments(seed: int, generation: int, pair: int) -> None:
    seeds = noise.episode_seeds(seed, generation, pair, 5)
    assert all(0 <= each < 2**31 for each in seeds)
    assert noise.episode_seeds(seed, generation, pair, 2) == seeds[:2]


def test_statistics_are_fed_by_the_wanted_share_of_episodes() -> None:
    chosen = [noise.feeds_statistics(1, 5, pair, 0.2) for pair in range(2000)]
    assert abs(np.mean(chosen) - 0.2) < 0.02
    assert not np.any([noise.feeds_statistics(1, 5, pair, 0.0) for pair in range(100)])
    assert np.all([noise.feeds_statistics(1, 5, pair, 1.0) for pair in range(100)])


def test_another_process_has_the_same_fingerprint() -> None:
    code = "from es import noise; print(noise.fingerprint())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == noise.fingerprint()

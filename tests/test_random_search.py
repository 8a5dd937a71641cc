import numpy as np

from es import config
from es.strategies import registry as strategies

SETTINGS = config.RandomSearch(sigma=0.5)


def eps(index: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(3, index, dtype=np.float32)


def test_the_best_sample_is_the_next_centre() -> None:
    state = strategies.init(SETTINGS, np.ones(3))
    returns = np.array([[1.0, np.nan], [4.0, 7.0], [7.0, 2.0]])
    new, update = strategies.tell(SETTINGS, state, returns, returns, eps)
    np.testing.assert_array_equal(new.theta, np.ones(3) + 0.5 * 3)
    assert update.gradient_norm > 0


def test_it_stays_where_every_sample_failed() -> None:
    state = strategies.init(SETTINGS, np.ones(3))
    failed = np.full((2, 2), np.nan)
    new, update = strategies.tell(SETTINGS, state, failed, failed, eps)
    np.testing.assert_array_equal(new.theta, np.ones(3))
    assert update.update_ratio == 0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import fitness
from es.config import Shaping

returns = npst.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(-50, 50))
SHAPINGS: list[Shaping] = ["centered_ranks", "raw", "sign", "centered_sign_ranks"]


@given(returns)
def test_centered_ranks_are_centered_bounded_and_ordered(x: np.ndarray) -> None:
    weights = fitness.centered_ranks(x)
    assert weights.shape == x.shape
    assert abs(weights.sum()) < 1e-9
    assert np.abs(weights).max() <= 0.5
    order = np.argsort(x, axis=None)
    assert np.all(np.diff(weights.ravel()[order]) >= 0)
    np.testing.assert_array_equal(
        weights.ravel()[:, None] == weights.ravel(), x.ravel()[:, None] == x.ravel()
    )


@given(returns)
def test_ranks_see_only_the_order(x: np.ndarray) -> None:
    np.testing.assert_array_equal(fitness.centered_ranks(x), fitness.centered_ranks(np.exp(x / 10) * 3 - 1))


def test_distinct_returns_have_the_papers_ranks() -> None:
    x = np.array([[3.0, -1.0], [10.0, 4.0]])
    np.testing.assert_allclose(fitness.centered_ranks(x), [[-1 / 6, -0.5], [0.5, 1 / 6]])


@given(returns, st.data())
def test_failed_episodes_are_the_worst_and_equally_bad(x: np.ndarray, data: st.DataObject) -> None:
    failed = data.draw(npst.arrays(np.bool_, x.shape))
    weights = fitness.centered_ranks(np.where(failed, np.nan, x))
    assert np.isfinite(weights).all()
    if failed.any():
        assert len(set(weights[failed])) == 1
    if failed.any() and not failed.all():
        assert weights[failed].max() < weights[~failed].min()


@pytest.mark.parametrize("shaping", SHAPINGS)
@given(value=st.floats(-1e6, 1e6), pairs=st.integers(1, 40))
def test_equal_returns_weigh_equal(shaping: Shaping, value: float, pairs: int) -> None:
    x = np.full((pairs, 2), value)
    weights = fitness.shape(shaping, x, x)
    assert np.all(weights[:, 0] - weights[:, 1] == 0.0)


def test_raw_returns_replace_failures_by_the_worst() -> None:
    np.testing.assert_array_equal(fitness.raw(np.array([[1.0, np.nan], [-2.0, 5.0]])), [[1, -2], [-2, 5]])
    np.testing.assert_array_equal(fitness.raw(np.full((2, 2), np.nan)), np.zeros((2, 2)))


def test_sign_shapings_use_the_sign_returns() -> None:
    x, signs = np.array([[1.0, 2.0]]), np.array([[5.0, -5.0]])
    np.testing.assert_array_equal(fitness.shape("sign", x, signs), [[5, -5]])
    np.testing.assert_array_equal(fitness.shape("centered_sign_ranks", x, signs), [[0.5, -0.5]])


def test_one_return_cannot_be_ranked() -> None:
    with pytest.raises(ValueError, match="at least 2 returns to rank, got 1"):
        fitness.centered_ranks(np.zeros(1))


def test_utilities_are_those_of_the_paper() -> None:
    """Wierstra et al. 2014, table 1, for four samples."""
    u = np.maximum(0, np.log(3) - np.log([1, 2, 3, 4]))
    expected = u / u.sum() - 1 / 4
    weights = fitness.utilities(np.array([[3.0, -1.0], [10.0, 4.0]]))
    np.testing.assert_allclose(weights, expected[[[2, 3], [0, 1]]])


@given(returns)
def test_utilities_sum_to_zero_and_rise_with_the_return(x: np.ndarray) -> None:
    weights = fitness.utilities(x).ravel()
    assert abs(weights.sum()) < 1e-9
    assert np.all(np.diff(weights[np.argsort(x, axis=None)]) >= -1e-15)  # shares of equals are means
    if x.min() == x.max():
        assert np.all(weights == 0.0)


@given(returns, st.data())
def test_weights_by_rank_are_shared_by_equals(x: np.ndarray, data: st.DataObject) -> None:
    values = st.floats(-10, 10)
    weights = -np.sort(-np.array(data.draw(st.lists(values, min_size=x.size, max_size=x.size))))
    given_out = fitness.by_rank(x, weights)
    assert given_out.sum() == pytest.approx(weights.sum(), abs=1e-9)
    for value in np.unique(x):
        better, equal = int(np.sum(x > value)), int(np.sum(x == value))
        np.testing.assert_allclose(given_out[x == value], weights[better : better + equal].mean(), atol=1e-12)

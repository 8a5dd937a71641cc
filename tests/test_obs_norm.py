import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es.obs_norm import Normalizer, ObservationStatistics

batches = st.lists(
    npst.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-1e3, 1e3)),
    min_size=1,
    max_size=6,
)


@given(batches)
def test_merging_equals_seeing_all_at_once(parts: list[np.ndarray]) -> None:
    merged = ObservationStatistics.empty(3)
    for part in parts:
        merged = merged.merge(ObservationStatistics.of(part))
    whole = np.concatenate(parts)
    assert merged.n == len(whole)
    np.testing.assert_allclose(merged.mean, whole.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(merged.std(0.0), whole.std(axis=0), atol=1e-5)


def test_constant_features_are_divided_by_the_floor() -> None:
    assert np.all(ObservationStatistics.of(np.ones((5, 2))).std(0.01) == 0.01)


def test_nothing_seen_changes_nothing() -> None:
    empty = ObservationStatistics.empty(2)
    normalizer = Normalizer(empty.mean, empty.std(0.01), 5.0)
    np.testing.assert_array_equal(normalizer(np.array([3.0, -4.0])), [3, -4])
    assert empty.merge(empty).n == 0


def test_outliers_are_clipped() -> None:
    normalizer = Normalizer(np.array([10.0]), np.array([2.0]), 5.0)
    assert normalizer(np.array([14.0])) == 2.0
    assert normalizer(np.array([1e9])) == 5.0
    assert normalizer(np.array([-1e9])) == -5.0

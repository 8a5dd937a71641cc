import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import config
from es.obs_norm import Normalizer, ObservationStatistics, frozen, normalizer

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


def test_manual_features_replace_the_statistics() -> None:
    manual = config.ManualFeatures(observations=(1, 2), mean=0.9, std=0.1)
    settings = config.ObservationNormalization(features=(manual,))
    statistics = ObservationStatistics.of(np.array([[1.0, 5.0, 5.0], [3.0, 7.0, 9.0]]))
    result = normalizer(settings, statistics)
    assert result is not None
    np.testing.assert_array_equal(result.mean, [2.0, 0.9, 0.9])
    np.testing.assert_array_equal(result.std, [1.0, 0.1, 0.1])
    assert statistics.mean.tolist() == [2.0, 6.0, 7.0]


def test_manual_features_need_no_statistics() -> None:
    manual = config.ManualFeatures(observations=(0,), mean=3.0, std=2.0)
    result = normalizer(config.ObservationNormalization(features=(manual,)), ObservationStatistics.empty(2))
    assert result is not None
    np.testing.assert_array_equal(result(np.array([5.0, 1.5])), [1.0, 1.5])


def test_there_is_no_normalizer_before_the_first_observation_or_when_disabled() -> None:
    assert normalizer(config.ObservationNormalization(), ObservationStatistics.empty(2)) is None
    seen = ObservationStatistics.of(np.ones((3, 2)))
    assert normalizer(config.ObservationNormalization(enabled=False), seen) is None


def test_features_freeze_after_their_generation() -> None:
    feature = config.FrozenFeatures(observations=(2, 0), after=7)
    settings = config.ObservationNormalization(features=(feature,), frozen_after=9)
    masks = [frozen(settings, generation, 3).tolist() for generation in (7, 8, 9, 10)]
    assert masks == [[False] * 3, [True, False, True], [True, False, True], [True] * 3]


@given(batches, batches)
@settings(max_examples=25)
def test_frozen_features_keep_mean_and_scale_while_others_go_on(
    first: list[np.ndarray], second: list[np.ndarray]
) -> None:
    before = ObservationStatistics.of(np.concatenate(first))
    after = before.merge(ObservationStatistics.of(np.concatenate(second)))
    mixed = after.keeping(before, np.array([True, False, True]))
    np.testing.assert_array_equal(mixed.mean, [before.mean[0], after.mean[1], before.mean[2]])
    std = [before.std(0.0)[0], after.std(0.0)[1], before.std(0.0)[2]]
    np.testing.assert_allclose(mixed.std(0.0), std, rtol=1e-12)
    assert after.keeping(before, np.full(3, True)) is before

"""A gait with a residual: what it adds to each muscle, and what it goes on from."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import mirror
from es.errors import ExperimentError
from es.policies.gait_weights import NUM_PARAMS, OVER
from es.policies.policy import Bound, Policy
from es.policies.residual import UNIT, Residual
from tests.gaits import HEAD, policy_of

INPUTS = len(NAMES_GAIT) + 4  # two waves of the clock
MUSCLES = 9


def make(hidden: int | None, reflexes: config.Reflexes = "none", *, opening: float = 0.0) -> Policy:
    residual = None if hidden is None else config.Residual(hidden=hidden)
    return policy_of(config.Gait(head=HEAD, reflexes=reflexes, opening=opening, residual=residual))


def outputs(policy: Policy, theta: np.ndarray, observation: np.ndarray) -> np.ndarray:
    """What the head gets of the first action, when the clock stands at 0: right leg, left leg."""
    return Bound(lambda first: policy.start(theta, first), np.copy)(observation).reshape(2, MUSCLES)


@given(st.integers(0, 50), st.integers(0, 2**32))
def test_each_muscle_adds_up_its_weights_of_scaled_inputs_and_hidden_units(hidden, seed):
    rng = np.random.default_rng(seed)
    policy, residual = make(hidden), Residual(hidden)
    observation = rng.standard_normal(len(NAMES_GAIT))
    gait, weights = rng.standard_normal(NUM_PARAMS), rng.standard_normal((MUSCLES, INPUTS + 1 + hidden))
    plain = outputs(make(None), gait, observation)
    both = outputs(policy, np.concatenate([gait, weights.ravel()]), observation)
    mean, spread, incoming, offsets = residual.mean, residual.spread, residual.incoming, residual.offsets
    for leg, wave in enumerate((1.0, -1.0)):  # cosines of the clock at 0, half a cycle apart
        seen = observation if leg == 0 else observation[mirror(NAMES_GAIT)]
        scaled = (np.concatenate([seen, [0.0, wave, 0.0, 1.0]]) - mean) / spread
        units = np.tanh(incoming @ scaled + offsets)
        expected = UNIT * weights @ np.concatenate([scaled, [1.0], units])
        np.testing.assert_allclose(both[leg] - plain[leg], expected, rtol=1e-9, atol=1e-9)


def test_hidden_units_are_the_same_everywhere_and_more_of_them_begin_alike():
    few, many = Residual(3), Residual(40)
    np.testing.assert_array_equal(few.incoming, many.incoming[:3])
    np.testing.assert_array_equal(few.offsets, many.offsets[:3])
    assert (np.count_nonzero(many.incoming, axis=1) == 4).all()
    np.testing.assert_allclose(np.linalg.norm(many.incoming, axis=1), 1.5)
    # A trained policy would act differently with other units.
    assert few.offsets.tolist() == pytest.approx([0.2552006773, 0.0278054752, -1.3223092722])
    assert np.flatnonzero(few.incoming[0]).tolist() == [40, 44, 66, 84]


def test_hidden_units_have_the_same_bytes_on_other_processors():
    code = (
        "import hashlib; from es.policies.residual import Residual; r = Residual(40);"
        "print(hashlib.sha256(r.incoming.tobytes() + r.offsets.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_CORETYPE": kernel},
        ).stdout
        for kernel in ("Prescott", "Haswell")
    }
    assert len(digests) == 1


def test_it_begins_at_zero_and_so_does_what_a_gait_lacked():
    rng = np.random.default_rng(0)
    plain, wide = make(None, "all"), make(5, "all")
    observation = rng.standard_normal(len(NAMES_GAIT))
    theta = rng.standard_normal(plain.num_params)
    for narrow, wider in (
        (plain.initial(rng), wide.initial(rng)),
        (theta, wide.widen(theta, plain.sizes, rng)),
    ):
        np.testing.assert_allclose(
            outputs(wide, wider, observation), outputs(plain, narrow, observation), atol=1e-12
        )


@given(st.sampled_from(["none", "balance", "all"]), st.sampled_from([None, 0, 3, 5]), st.booleans())
def test_it_goes_on_from_fewer_units_and_reflexes_with_and_without_an_opening(reflexes, hidden, had_one):
    narrow, wide = make(hidden, reflexes, opening=0.1 * had_one), make(5, "all", opening=0.1)
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(narrow.num_params)
    if reflexes == "none":  # what heeds obstacles is forgotten
        theta[OVER] = 0.0
        if had_one:
            theta[NUM_PARAMS + 1 :][OVER] = 0.0
    first, second = narrow.bind(theta), wide.bind(wide.widen(theta, narrow.sizes, rng))
    for _ in range(8):
        observation = rng.standard_normal(len(NAMES_GAIT))
        np.testing.assert_allclose(first(observation), second(observation), atol=1e-9)


@pytest.mark.parametrize("hidden", [None, 2])
@pytest.mark.parametrize(("was_opened", "is_opened"), [(False, False), (True, True), (True, False)])
def test_more_than_it_has_is_one_line(hidden, was_opened, is_opened):
    rich, poor = make(3, opening=0.1 * was_opened), make(hidden, opening=0.1 * is_opened)
    with pytest.raises(ExperimentError, match=r"warm_start\.checkpoint: expected a gait policy"):
        poor.widen(np.zeros(rich.num_params), rich.sizes, np.random.default_rng(0))


def test_a_number_of_parameters_that_no_gait_with_an_opening_has_is_one_line():
    opened = make(3, opening=0.1)
    expected = rf"expected a gait with an opening, got {opened.num_params + 1} parameters"
    with pytest.raises(ExperimentError, match=expected):
        opened.widen(np.zeros(opened.num_params + 1), opened.sizes, np.random.default_rng(0))


@pytest.mark.parametrize(("hidden", "opening"), [(0, 0.0), (3, 0.0), (None, 0.1)])
def test_a_symmetric_policy_says_which_gaits_it_goes_on_from(hidden, opening):
    gait = make(hidden, opening=opening)
    settings = config.Symmetric(
        hidden=(), head=HEAD, clock_hz=1.3, clock_harmonics=2, clock_learned=True, clock_steered=True
    )
    symmetric = policy_of(settings)
    with pytest.raises(ExperimentError, match="or a gait without opening, residual and strengths, got"):
        symmetric.widen(np.zeros(gait.num_params), gait.sizes, np.random.default_rng(0))


def test_an_opening_has_the_same_residual():
    rng = np.random.default_rng(0)
    gait, opened = make(2), make(2, opening=0.1)
    run, opening = rng.standard_normal((2, NUM_PARAMS))
    weights = rng.standard_normal(gait.num_params - NUM_PARAMS)
    observations = rng.standard_normal((9, len(NAMES_GAIT)))
    opening[0] = run[0]  # one speed of the clock
    act = opened.bind(np.concatenate([run, [0.0], opening, weights]))
    both = [act(each) for each in observations]
    alone = [
        [act(each) for each in observations]
        for act in (gait.bind(np.concatenate([settings, weights])) for settings in (opening, run))
    ]
    np.testing.assert_array_equal(both[:5], alone[0][:5])
    np.testing.assert_array_equal(both[5:], alone[1][5:])

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.envs.obstacle_contact import MARGIN, SPHERE_RADIUS, SPHERES, TOES, deepen
from es.native.model import load_model
from es.native.parameters import parameters

RIGHT = {"talus": 34, "toes": 30}
"""Entries of the 41 values where the x of the right foot's frames stand."""
ELSEWHERE = 50.0


def foot(x: float, y: float, angle: float = 0.0) -> np.ndarray:
    """The 41 values with the right ankle there and the left foot far away."""
    observation = np.zeros(41)
    observation[28:34] = ELSEWHERE
    observation[[28, 30]] += TOES[0]
    observation[[29, 31]] += TOES[1]
    cos, sin = math.cos(angle), math.sin(angle)
    observation[RIGHT["talus"] : RIGHT["talus"] + 2] = x, y
    toes = x + cos * TOES[0] - sin * TOES[1], y + sin * TOES[0] + cos * TOES[1]
    observation[RIGHT["toes"] : RIGHT["toes"] + 2] = toes
    return observation


def sphere(part: int, x: float, y: float, angle: float) -> tuple[float, float]:
    forward, upward, _ = SPHERES[part]
    cos, sin = math.cos(angle), math.sin(angle)
    return x + cos * forward - sin * upward, y + sin * forward + cos * upward


def test_feet_are_those_of_the_model():
    model = parameters(load_model())
    for leg in range(2):
        for part, (forward, upward, aside) in enumerate(SPHERES):
            assert model.sphere_center[leg, part].tolist() == pytest.approx([forward, upward])
            assert abs(model.sphere_z[leg, part]) == pytest.approx(aside, abs=1e-12)
        assert model.toes[leg].tolist() == pytest.approx(TOES)
    assert (model.sphere_radius == SPHERE_RADIUS).all()


@pytest.mark.parametrize("part", [0, 1])
@given(x=st.floats(-5, 30), y=st.floats(-0.1, 1), angle=st.floats(-3, 3))
def test_a_foot_is_deepest_with_a_sphere_in_an_obstacle_s_plane_of_symmetry(part, x, y, angle):
    obstacles = np.array([[*sphere(part, x, y, angle), 0.1]])
    deepest = np.zeros((1, 2))
    expected = 0.1 + SPHERE_RADIUS + MARGIN - SPHERES[part][2]
    assert deepen(foot(x, y, angle), obstacles, deepest) == pytest.approx(expected)
    np.testing.assert_allclose(deepest, [[0.0, expected]])


@given(st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.0, 0.3)), min_size=1, max_size=8), st.randoms())
def test_an_episode_costs_the_depth_at_its_worst_in_any_order(way, random):
    obstacles = np.array([[0.0, 0.0, 0.1], [0.1, 0.02, 0.1]])
    deepest = np.zeros((2, 2))
    total = sum(deepen(foot(*place), obstacles, deepest) for place in way)
    assert total == pytest.approx(deepest.sum())
    assert deepen(foot(*way[-1]), obstacles, deepest) == 0.0
    random.shuffle(way)
    again = np.zeros((2, 2))
    for place in way:
        deepen(foot(*place), obstacles, again)
    np.testing.assert_array_equal(again, deepest)


def test_a_foot_that_clears_the_margin_touches_nothing():
    clear = math.sqrt((0.1 + SPHERE_RADIUS + MARGIN) ** 2 - SPHERES[0][2] ** 2) + 0.01
    obstacles, deepest = np.array([[0.0, 0.0, 0.1]]), np.zeros((1, 2))
    assert deepen(foot(0.0, clear), obstacles, deepest) == 0.0
    assert deepen(foot(0.0, clear - 0.02), obstacles, deepest) > 0.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState

from es.envs.course import generate_course, next_obstacle, spheres
from tests.golden_trajectories import EPISODES, load

SEEDS = st.integers(0, 2**32 - 1)


def course_of_2017(seed, difficulty, max_obstacles):
    """The draws written down once more, from NumPy's global stream, as the original made them."""
    np.random.seed(seed)  # noqa: NPY002 - the original's stream
    uniform, exponential, normal = np.random.uniform, np.random.exponential, np.random.normal
    xs, heights, radii = [], [], []
    if difficulty > 0:
        first = min(3, max_obstacles)
        xs += [uniform(1, 5) for _ in range(first)]
        heights += [uniform(-0.25, 0.25) for _ in range(first)]
        radii += [0.05 + exponential(0.05) for _ in range(first)]
    if difficulty > 0 and max_obstacles > 3:
        more = min(20, max_obstacles) - 3
        gap = 0
        for _ in range(more):
            gap += uniform(2, 4)
            xs.append(5 + gap)
        heights += [uniform(-0.05, 0.25) for _ in range(more)]
        radii += [0.05 + exponential(0.05) for _ in range(more)]
    right = left = 1.0
    if difficulty >= 2:
        right = max(0.5, 1 - normal(0, 0.1))
        left = max(0.5, 1 - normal(0, 0.1))
    obstacles = sorted((x, y * r, r) for x, y, r in zip(xs, heights, radii, strict=True))
    return obstacles, [1, 1, 1, right, 1, 1, 1, 1, 1, 1, 1, left, 1, 1, 1, 1, 1, 1]


@pytest.fixture
def global_stream_kept():
    before = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(before)  # noqa: NPY002


@pytest.mark.usefixtures("global_stream_kept")
def test_courses_are_those_of_2017():
    for seed in (*range(150), 2**32 - 1):
        for difficulty in (0, 1, 2):
            for max_obstacles in (0, 1, 2, 3, 4, 10, 20, 25):
                obstacles, strengths = course_of_2017(seed, difficulty, max_obstacles)
                course = generate_course(RandomState(seed), difficulty, max_obstacles)
                assert list(map(tuple, course.obstacles.tolist())) == obstacles
                assert course.strengths.tolist() == strengths


@pytest.mark.parametrize("name", [name for name in EPISODES if not name.startswith("contact_")])
def test_courses_are_the_recorded_ones(name):
    golden = load(name)
    random = RandomState(int(golden["seed"]))
    course = generate_course(random, int(golden["difficulty"]), int(golden["max_obstacles"]))
    np.testing.assert_array_equal(course.obstacles, golden["obstacles"].reshape(-1, 3))
    np.testing.assert_array_equal(course.strengths[[3, 11]], golden["psoas"])


@given(seed=SEEDS, x=st.floats(-5, 70))
def test_the_next_obstacle_is_the_first_whose_far_side_is_not_behind_the_pelvis(seed, x):
    obstacles = generate_course(RandomState(seed), 1, 10).obstacles
    ahead = [o for o in obstacles.tolist() if not o[0] + o[2] < x]
    expected = (ahead[0][0] - x, ahead[0][1], ahead[0][2]) if ahead else (100, 0, 0)
    assert next_obstacle(obstacles, x) == expected


def test_there_is_no_next_obstacle_on_an_empty_course():
    assert next_obstacle(np.empty((0, 3)), 0.0) == (100, 0, 0)


def test_literal_spheres_all_have_the_radius_they_were_created_with_and_spare_ones_are_parked():
    obstacles = np.array([[1.0, 0.01, 0.3], [2.0, -0.02, 0.06]])
    assert spheres(obstacles, "literal", 4).tolist() == [
        [1.0, 0.01, 0.1],
        [2.0, -0.02, 0.1],
        [0.0, -0.1, 0.1],
        [0.0, -0.1, 0.1],
    ]
    assert obstacles[0, 2] == 0.3


def test_intended_spheres_are_what_is_seen():
    obstacles = np.array([[1.0, 0.01, 0.3]])
    assert spheres(obstacles, "intended", 3).tolist() == obstacles.tolist()

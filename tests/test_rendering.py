import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import es.envs  # noqa: F401 - registers the ids
from es.envs.rendering import BOTTOM, COORDINATES, PELVIS_AT, TOP, Renderer

WIDTH, HEIGHT = 480, 270
DENSITY = HEIGHT / (TOP - BOTTOM)  # px/m
GROUND_ROW = TOP * DENSITY
BELOW_THE_TEXT = HEIGHT // 4
STANDING = np.array([-0.05, 20.0, 0.94, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
RELAXED = np.full(18, 0.05)
NOTHING = np.zeros((0, 3))


@pytest.fixture(scope="module")
def renderer():
    return Renderer(WIDTH, HEIGHT)


def at_x(x):
    return STANDING + np.eye(9)[1] * (x - STANDING[1])


def column(x, pelvis_x):
    return PELVIS_AT * WIDTH + (x - pelvis_x) * DENSITY


def changed(a, b):
    """First and last row and column in which two frames differ."""
    rows, columns = np.nonzero((a != b).any(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_an_obstacle_is_drawn_where_it_is(renderer):
    empty = renderer.render(STANDING, RELAXED, NOTHING)
    frame = renderer.render(STANDING, RELAXED, np.array([[21.2, 0.05, 0.15]]))
    top, bottom, left, right = changed(frame, empty)
    assert left == pytest.approx(column(21.05, 20), abs=2)
    assert right == pytest.approx(column(21.35, 20), abs=2)
    assert top == pytest.approx((TOP - 0.2) * DENSITY, abs=2)
    assert bottom == pytest.approx(GROUND_ROW, abs=2)  # the ground hides the rest


def test_an_obstacle_below_the_ground_or_far_away_is_not_seen(renderer):
    empty = renderer.render(STANDING, RELAXED, NOTHING)
    hidden = np.array([[20.0, -0.1, 0.1], [90.0, 0.0, 0.1], [-5.0, 0.0, 0.1]])
    frame = renderer.render(STANDING, RELAXED, hidden)
    above = slice(0, int(GROUND_ROW) - 1)
    np.testing.assert_array_equal(frame[above], empty[above])


def test_the_camera_follows_the_pelvis(renderer):
    """A metre farther on, with everything else a metre farther on too, only the writing changes."""
    here = renderer.render(at_x(20), RELAXED, np.array([[21.0, 0.0, 0.1]]))
    there = renderer.render(at_x(21), RELAXED, np.array([[22.0, 0.0, 0.1]]))
    world = slice(BELOW_THE_TEXT, int(GROUND_ROW))
    np.testing.assert_array_equal(here[world], there[world])
    assert (here[:BELOW_THE_TEXT] != there[:BELOW_THE_TEXT]).any()  # metres run
    assert (here[int(GROUND_ROW) :] != there[int(GROUND_ROW) :]).any()  # and so do the labels


def test_what_stands_still_moves_back_in_the_picture(renderer):
    obstacle = np.array([[21.4, 0.0, 0.1]])
    for pelvis_x in (20.0, 20.3, 20.6):
        empty, frame = (renderer.render(at_x(pelvis_x), RELAXED, o) for o in (NOTHING, obstacle))
        _, _, left, right = changed(frame, empty)
        assert (left + right) / 2 == pytest.approx(column(21.4, pelvis_x), abs=2)


def test_the_runner_is_as_tall_as_the_model_and_sinks_with_the_pelvis(renderer):
    def top_of_the_head(pelvis_y):
        low = STANDING.copy()
        low[2] = pelvis_y
        far_away = STANDING.copy()
        far_away[2] = -50  # nobody in the picture
        return changed(renderer.render(low, RELAXED, NOTHING), renderer.render(far_away, RELAXED, NOTHING))[0]

    height = TOP - top_of_the_head(0.94) / DENSITY
    assert 1.6 < height < 1.85
    assert top_of_the_head(0.74) - top_of_the_head(0.94) == pytest.approx(0.2 * DENSITY, abs=2)


def test_activation_turns_muscles_from_blue_to_red(renderer):
    def red_and_blue(activations):
        legs = renderer.render(STANDING, activations, NOTHING)[BELOW_THE_TEXT:].astype(int)
        surplus = legs[..., 0] - legs[..., 2]
        return (surplus > 80).sum(), (surplus < -80).sum()

    red, blue = red_and_blue(np.zeros(18))
    assert blue > 300 > 10 > red
    red, blue = red_and_blue(np.ones(18))
    assert red > 300 > 10 > blue
    one = np.zeros(18)
    one[5] = 1.0  # the right vasti
    red, blue = red_and_blue(one)
    assert red > 30
    assert blue > 200


def test_time_is_written_only_if_given(renderer):
    without, early, late = (renderer.render(STANDING, RELAXED, NOTHING, s) for s in (None, 1.0, 2.0))
    assert changed(without, early)[1] < BELOW_THE_TEXT
    assert changed(early, late)[1] < BELOW_THE_TEXT


@settings(max_examples=25, deadline=None)
@given(
    coordinates=arrays(np.float64, 9, elements=st.floats(-4, 4)),
    activations=arrays(np.float64, 18, elements=st.floats(-0.1, 1.1)),
)
def test_any_posture_can_be_drawn(renderer, coordinates, activations):
    frame = renderer.render(coordinates, activations, NOTHING, 0.0)
    assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)


def test_the_environment_draws_its_state_and_is_not_changed_by_it():
    watched = gymnasium.make("es/LearningToRun-v0", render_mode="rgb_array", max_obstacles=3).unwrapped
    alone = gymnasium.make("es/LearningToRun-v0", max_obstacles=3).unwrapped
    with pytest.raises(ResetNeeded, match="before render"):
        watched.render()
    watched.reset(seed=3)
    alone.reset(seed=3)
    first = watched.render()
    assert first.shape == (360, 640, 3)
    np.testing.assert_array_equal(first, watched.render())
    assert alone.render() is None
    for _ in range(4):
        seen, *_ = watched.step(np.full(18, 0.9))
        unseen, *_ = alone.step(np.full(18, 0.9))
        frame = watched.render()
        np.testing.assert_array_equal(seen, unseen)
    assert (frame != first).any()
    expected = Renderer().render(
        seen[COORDINATES], watched._physics.activations(), watched._spheres, seconds=0.04
    )
    np.testing.assert_array_equal(frame, expected)


def test_nothing_that_draws_is_imported_before_the_first_frame():
    code = (
        "import sys, gymnasium, es.envs\n"
        "gymnasium.make('es/LearningToRun-v0', render_mode='rgb_array').reset(seed=1)\n"
        "assert not {'PIL', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

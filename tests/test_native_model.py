"""The model's numbers: stored as they come out of OpenSim, and laid out as the equations read them."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es.envs.opensim_physics import model_path
from es.errors import ModelError
from es.native.exponential import exponential
from es.native.extract import extract
from es.native.model import Model, from_json, load_model, to_json
from es.native.parameters import pack, parameters, spline_starts, spline_table
from es.native.path_segments import path_segments
from es.native.splines import evaluate_spline


def differences(a: Any, b: Any, name: str = "model") -> list[str]:
    """Names of the fields in which two models differ in any bit."""
    if dataclasses.is_dataclass(a):
        fields = [f.name for f in dataclasses.fields(a)]
        return [d for f in fields for d in differences(getattr(a, f), getattr(b, f), f"{name}.{f}")]
    equal = np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
    return [] if equal else [name]


def test_stored_numbers_are_those_of_the_model_file() -> None:
    assert differences(load_model(), extract(model_path())) == []


def test_text_keeps_every_bit() -> None:
    model = load_model()
    skeleton = dataclasses.replace(
        model.skeleton, trunk_mass=np.nextafter(model.skeleton.trunk_mass, 0.0).item()
    )
    odd = dataclasses.replace(model, skeleton=skeleton)
    assert differences(odd, from_json(to_json(odd))) == []
    assert differences(model, from_json(to_json(odd))) == ["model.skeleton.trunk_mass"]


def test_the_body_weighs_what_the_task_says() -> None:
    assert parameters(load_model()).total_mass == pytest.approx(79.6646, abs=1e-12)


def test_legs_mirror_each_other() -> None:
    model = load_model()
    for values in (
        model.skeleton.leg_mass,
        model.skeleton.knee_x,
        model.limits.lower,
        model.ground.stiffness,
    ):
        np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(model.skeleton.hip[0] * [1, 1, -1], model.skeleton.hip[1])


def test_packed_parameters_read_back() -> None:
    constants = parameters(load_model())
    packed = pack(constants)
    for name, value in constants._asdict().items():
        np.testing.assert_array_equal(packed[name][0], value)


@pytest.mark.parametrize("which", ["knee_x", "knee_y"])
def test_splines_are_smooth_and_end_straight(which: str) -> None:
    spline = getattr(load_model().skeleton, which)[0]
    starts, table = spline_starts(spline), spline_table(spline)
    evaluate = evaluate_spline_in_python(starts, table)
    for knot, value, slope, second in spline.T[1:-1]:
        before, after = evaluate(knot - 1e-9), evaluate(knot + 1e-9)
        np.testing.assert_allclose(before, (value, slope, second), atol=1e-6)
        np.testing.assert_allclose(after, (value, slope, second), atol=1e-6)
    value, slope, second = evaluate(spline[0, -1] + 1.0)
    assert value == pytest.approx(spline[1, -1] + spline[2, -1])
    assert (slope, second) == (spline[2, -1], 0.0)


def evaluate_spline_in_python(starts: np.ndarray, table: np.ndarray) -> Any:
    """The compiled function, called from compiled code, as those of the package are."""
    import numba

    @numba.njit
    def evaluate(x: float) -> Any:
        return evaluate_spline(starts, table, x)

    return evaluate


@given(st.floats(min_value=-700.0, max_value=700.0))
def test_exponential_is_exact_to_a_few_units_in_the_last_place(x: float) -> None:
    ours = float(exponential.py_func(x))  # type: ignore[attr-defined]  # numba keeps the original there
    assert math.isclose(ours, math.exp(x), rel_tol=4.5e-16)


def test_unrepresentable_paths_are_refused() -> None:
    model = load_model()
    segment = model.paths.segment.copy()
    segment[0], segment[1] = segment[1], segment[0]
    upside_down: Model = dataclasses.replace(model, paths=dataclasses.replace(model.paths, segment=segment))
    with pytest.raises(ModelError, match="hamstrings_r runs back up the leg"):
        path_segments(upside_down)

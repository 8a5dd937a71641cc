import copy
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.errors import ExperimentError

MINIMAL: dict[str, Any] = {"name": "x", "environment": {"id": "es/LQR-v0"}, "budget": {"generations": 3}}


def changed(field: str, value: object) -> dict[str, Any]:
    raw = copy.deepcopy(MINIMAL)
    *path, last = field.split(".")
    table = raw
    for part in path:
        table = table.setdefault(part, {})
    table[last] = value
    return raw


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("strategy", {"kind": "openai_es", "sigma": 0.0}, "strategy.sigma = 0.0: expected `float` > 0.0"),
        ("strategy", {"kind": "openai_es", "sigma": math.nan}, "strategy.sigma = nan: expected `float` > 0"),
        ("strategy", {"kind": "openai_es", "sigma": math.inf}, "strategy.sigma = inf: expected `float` <= "),
        ("strategy.kind", "es", "strategy.kind = 'es': expected one of 'openai_es', "),
        ("strategy", {"kind": "pgpe", "sgima": 1}, "strategy.sgima = 1: unknown field; did you mean `sigma`"),
        ("population.size", 3, "population.size = 3: expected `int` that's a multiple of 2"),
        ("population.size", "3", "population.size = '3': expected `int`, got `str`"),
        ("population.pairs_per_task", 100, "population.pairs_per_task = 100 is more than the 20 pairs"),
        ("policy", {"hidden": [3]}, "policy.kind is missing; expected one of 'linear', 'mlp', 'symmetric'"),
        ("policy", {"kind": "mlp", "hidden": [3, 0]}, "policy.hidden[1] = 0: expected `int` >= 1"),
        ("policy", {"kind": "mlp", "activation": "x"}, "policy.activation = 'x': expected one of 'tanh', "),
        ("budget", {}, "budget: expected at least one of `generations`"),
        ("budget.episodes", 10, "budget.episodes = 10 does not allow one generation"),
        ("episode_cap", {"start": 10, "maximum": 5}, "episode_cap: expected `maximum` of at least `start`"),
        ("envrionment", {}, "envrionment = {}: unknown field; did you mean `environment`?"),
        ("seed", -1, "seed = -1: expected `int` >= 0"),
        ("name", "a/b", "name = 'a/b': expected `str` matching regex"),
    ],
)  # fmt: skip
def test_mistakes_name_file_field_value_and_what_is_allowed(
    field: str, value: object, message: str | None
) -> None:
    with pytest.raises(ExperimentError) as caught:
        config.convert(changed(field, value), "my.toml")
    assert str(caught.value).startswith(f"my.toml: {message}")
    assert "\n" not in str(caught.value)


def test_more_evaluation_than_budget_is_refused() -> None:
    raw = changed("budget.episodes", 50) | {"evaluation": {"episodes": 51}}
    with pytest.raises(
        ExperimentError, match=r"evaluation\.episodes = 51 is more than budget\.episodes = 50"
    ):
        config.convert(raw, "my.toml")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([{"kind": "manual", "observations": [-1]}], "[0].observations[0] = -1: expected `int` >= 0"),
        ([{"kind": "manual", "observations": []}], "[0].observations = []: expected `array` of length >= 1"),
        ([{"kind": "manual", "observations": [2], "std": 0}], "[0].std = 0: expected `float` > 0.0"),
        ([{"kind": "fixed"}], "[0].kind = 'fixed': expected one of 'manual', 'frozen'"),
        ([{"observations": [2]}], "[0].kind is missing; expected one of 'manual', 'frozen'"),
        ([{"kind": "frozen", "observations": [2]}], "[0].after is missing"),
        (
            [{"kind": "frozen", "observations": [2], "after": 5, "mean": 1}],
            "[0].mean = 1: unknown field; allowed: kind, observations, after",
        ),
    ],
)
def test_mistakes_in_arrays_of_tables_are_as_clear(features: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        config.convert(changed("observation_normalization.features", features), "my.toml")
    assert str(caught.value) == f"my.toml: observation_normalization.features{message}"


def test_an_observation_follows_one_rule() -> None:
    features = [
        {"kind": "manual", "observations": [1, 2]},
        {"kind": "frozen", "observations": [2], "after": 3},
    ]
    with pytest.raises(ExperimentError, match=r"expected each observation once in `features`, got \[2\]"):
        config.convert(changed("observation_normalization.features", features), "my.toml")


LAST = {"name": "last"}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [{"name": "x", "until": {}}, LAST],
            "stage[0].until: expected at least one of `generations`",
        ),
        ([{"name": "x"}, LAST], "stage[0].until: expected one: another stage follows"),
        ([LAST | {"until": {"steps": 5}}], "stage[0].until: expected none: it is the last one"),
        ([LAST | {"changes": {"seed": 5}}], "stage[0].changes: expected some of environment, policy, "),
        (
            [LAST | {"changes": {"strategy": {"sgima": 5}}}],
            "stage[0].changes: strategy.sgima = 5: unknown field; did you mean `sigma`?",
        ),
        (
            [{"name": "x", "until": {"when": {"metric": "metres"}}}, LAST],
            "stage[0].until.when: expected one of `at_least` and `at_most`",
        ),
        (
            [LAST | {"changes": {"ramp": [{"argument": "", "start": 1, "step": 1, "limit": 2}]}}],
            "stage[0].changes: ramp[0].argument = '': expected `str` of length >= 1",
        ),
    ],
)
def test_mistakes_in_stages(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        config.convert(changed("stage", stages), "my.toml")
    assert str(caught.value).startswith(f"my.toml: {message}")
    assert "\n" not in str(caught.value)


def test_a_stage_changes_what_it_names_and_nothing_carries_over() -> None:
    raw = changed("environment.arguments", {"a": 0, "b": 0})
    raw["stage"] = [
        {"name": "one", "until": {"steps": 5}, "changes": {"environment": {"arguments": {"a": 1}}}},
        {"name": "two", "changes": {"environment": {"arguments": {"b": 2}}, "policy": {"kind": "mlp"}}},
    ]
    raw["evaluation"] = {"arguments": {"c": 3}}
    experiment = config.convert(raw, "x")
    first, second = (config.at_stage(experiment, number) for number in range(2))
    assert first.environment.arguments == {"a": 1, "b": 0}
    assert first.policy == experiment.policy
    assert second.environment.arguments == {"a": 0, "b": 2}
    assert second.policy == config.MLP()
    assert config.evaluation_environment(experiment).arguments == {"a": 0, "b": 0, "c": 3}


def test_arrays_of_tables_are_written_and_read_back(tmp_path: Path) -> None:
    raw = changed(
        "observation_normalization.features", [{"kind": "manual", "observations": [1, 2], "mean": 0.9}]
    )
    far = {"metric": "metres", "at_least": 1}
    raw["ramp"] = [{"argument": "wall_speed", "start": 0, "step": 1, "limit": 2, "when": far}]
    raw["stage"] = [
        {"name": "one", "until": {"when": far}},
        {"name": "two", "changes": {"ramp": raw["ramp"]}},
    ]
    experiment = config.convert(raw, "x")
    path = tmp_path / "experiment.toml"
    path.write_text(config.to_toml(experiment))
    assert config.load(path) == experiment


@given(
    sigma=st.floats(1e-6, 1e3),
    size=st.integers(1, 1000).map(lambda n: 2 * n),
    hidden=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    hours=st.none() | st.floats(0.01, 1000),
)
def test_written_experiments_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, sigma: float, size: int, hidden: list[int], hours: float | None
) -> None:
    raw = changed("strategy", {"kind": "openai_es", "sigma": sigma})
    raw |= {"population": {"size": size}, "policy": {"kind": "mlp", "hidden": hidden}}
    raw["budget"] |= {} if hours is None else {"hours": hours}
    experiment = config.convert(raw, "x")
    path = tmp_path_factory.mktemp("experiment") / "experiment.toml"
    path.write_text(config.to_toml(experiment))
    assert config.load(path) == experiment


@pytest.mark.parametrize("name", sorted(config.shipped()))
def test_shipped_experiments_load_by_name(name: str) -> None:
    assert config.load(name).name == name


def test_overrides_win_and_are_checked_too() -> None:
    experiment = config.load("lqr", ["strategy.sigma=0.5", "environment.id=Pendulum-v1", "seed=7"])
    assert (experiment.strategy.sigma, experiment.environment.id, experiment.seed) == (0.5, "Pendulum-v1", 7)
    with pytest.raises(ExperimentError, match=r"strategy\.sigma = -1: expected"):
        config.load("lqr", ["strategy.sigma=-1"])
    with pytest.raises(ExperimentError, match=r"--set seed: expected section\.field=value"):
        config.load("lqr", ["seed"])
    with pytest.raises(ExperimentError, match=r"`seed` is a value, not a section"):
        config.load("lqr", ["seed.x=1"])


def test_files_that_are_not_experiments(tmp_path: Path) -> None:
    with pytest.raises(
        ExperimentError, match=r"^nope: no such experiment; expected a \.toml file or one of .*lqr"
    ):
        config.load("nope")
    with pytest.raises(ExperimentError, match="cannot read the experiment: No such file"):
        config.load(tmp_path / "nope.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("a = = 1")
    with pytest.raises(ExperimentError, match=r"bad\.toml: not valid TOML: .*line 1"):
        config.load(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ExperimentError, match="not valid TOML"):
        config.load(bad)

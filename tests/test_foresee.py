"""What tells a planner what a moment is worth: samples from its tries, and a network fitted to them."""

import shutil

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.policies import worth
from es.policies.foresight import Ahead
from es.policies.gait_weights import waves
from es.policies.worth import Worth
from es.run_dir import RunDir, shipped
from tests import checkpointed_run
from tests.reproduction import foresee, layers


def samples(rng: np.random.Generator, count: int) -> foresee.Samples:
    """Whose metres are linear in three inputs, and who are up where a fourth is positive."""
    seen = rng.standard_normal((count, worth.sizes(1)[0])) * 3.0 + 1.0
    found = np.stack([seen[:, :3].sum(axis=1), seen[:, 3] > 1.0], axis=1)
    return foresee.Samples(seen, found)


def test_what_is_fitted_foresees():
    rng = np.random.default_rng(1)
    theta = foresee.fit(samples(rng, 4000), 8, rng)
    metres, up = foresee.explained(samples(rng, 1000), theta, 8)
    assert metres > 0.9
    assert up > 0.6
    assert foresee.explained(samples(rng, 1000), np.zeros_like(theta), 8)[0] <= 0.0


def test_the_fitted_network_is_the_planner_s():
    rng = np.random.default_rng(2)
    given = samples(rng, 600)
    theta = foresee.fit(given, 3, rng)
    values, activations, clock = np.split(given.seen[0], [len(NAMES_GAIT), worth.OBSERVED])
    phase = 0.2
    clock = waves(np.array([phase]))[0]
    seen = np.concatenate([values, activations, clock])[None].astype(np.float32)
    metres, up = layers.forward(layers.layers(theta, worth.sizes(3)), seen)[-1][0]
    later = min(max(up, 0.0), 1.0) * worth.CRUISE * (5.0 - worth.SPAN)
    moment = Ahead(2.0, False, 5.0, values, activations, phase)
    assert Worth(theta, 3)(moment) == pytest.approx(2.0 + metres + later, abs=1e-3)


def test_samples_tell_what_the_gait_did(tmp_path):
    run, experiment, state = foresee.begin(tmp_path, "fast-runner", tmp_path / "planned", 6, 2)
    assert isinstance(experiment.policy, config.Planner)
    arguments = experiment.environment.arguments | {"max_steps": 300}
    environment = msgspec.structs.replace(experiment.environment, arguments=arguments)
    planned = foresee.gather(environment, experiment.policy, state.parameters, seed=10**9)
    again = foresee.gather(environment, experiment.policy, state.parameters, seed=10**9)
    assert planned.metres == again.metres
    np.testing.assert_array_equal(planned.samples.found, again.samples.found)
    metres, up = planned.samples.found.T
    assert len(metres) > 20
    assert set(up) <= {0.0, 1.0}
    assert -1.0 < metres.min() < metres.max() < 8.0
    assert run.name == "planned"


def test_the_command_makes_a_run_that_others_read(tmp_path, monkeypatch):
    monkeypatch.setattr(foresee, "EPOCHS", 2)
    source = tmp_path / "short"
    shutil.copytree(shipped() / "fast-runner", source)
    text = (source / "experiment.toml").read_text()
    (source / "experiment.toml").write_text(text.replace("max_steps = 1000", "max_steps = 300"))
    arguments = ["short", str(tmp_path / "planned"), "--courses", "2", "--rounds", "1", "--samples", "6"]
    arguments += ["--best", "2", "--runs-dir", str(tmp_path)]
    done = CliRunner().invoke(foresee.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "round 1: foresees" in done.output
    planned = RunDir.open(tmp_path, "planned")
    before = RunDir.open(tmp_path, "short").load_checkpoint(0).parameters
    after = planned.load_checkpoint(0).parameters
    np.testing.assert_array_equal(after[: before.size], before)
    assert after[before.size :].any()
    assert planned.experiment().environment.arguments["observation"] == "41"


def test_a_run_of_another_policy_is_one_line(tmp_path):
    checkpointed_run.create(tmp_path, "other", {"id": "es/LQR-v0"})
    done = CliRunner().invoke(foresee.main, ["other", str(tmp_path / "planned"), "--runs-dir", str(tmp_path)])
    assert done.output.splitlines() == ["Error: other: expected a policy of kind 'gait', got 'linear'"]
    assert not (tmp_path / "planned").exists()

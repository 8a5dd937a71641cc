"""The deployment's file: what is wrong with it is said in one line, before AWS is asked anything."""

import importlib.resources
from pathlib import Path

import pytest

from deploy import config
from es.errors import DeploymentError

GOOD = """
region = "us-east-1"
experiment = "lqr"
instance_types = ["c7a.8xlarge"]
vcpus = 64
max_spend = 20
ttl = "12h"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "runner.toml"
    path.write_text(text)
    return path


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    deployment = config.load(write(tmp_path, GOOD))
    assert deployment.ttl_seconds == 12 * 3600
    assert deployment.market == "spot"
    assert deployment.experiment == "lqr"


def test_an_experiment_file_is_looked_for_beside_the_deployment(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('"lqr"', '"mine.toml"'))
    assert config.load(path).experiment == str(tmp_path / "mine.toml")


def test_the_shipped_example_is_good() -> None:
    example = Path(str(importlib.resources.files("deploy") / "example.toml"))
    assert config.load(example).vcpus == 360


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('ttl = "12h"', 'ttl = "12 hours"', "expected a `ttl` from 10m to 30d such as 90m, 12h or 2d, got"),
        ('ttl = "12h"', 'ttl = "90d"', "expected a `ttl` from 10m to 30d"),
        ("vcpus = 64", "vcpus = 1", "vcpus = 1: expected `int` >= 2"),
        ("vcpus = 64", "", "vcpus is missing"),
        ("vcpus = 64", "vcpu = 64", "vcpu = 64: unknown field; did you mean `vcpus`?"),
        ("max_spend = 20", "max_spend = 0", "max_spend = 0: expected `float` > 0"),
        ('["c7a.8xlarge"]', '["c7g.8xlarge"]', "types for x86_64, got 'c7g.8xlarge', which is for ARM"),
        ('["c7a.8xlarge"]', '["p5.48xlarge"]', "such as c7a.8xlarge, got 'p5.48xlarge'"),
        ('["c7a.8xlarge"]', "[]", "instance_types = []: expected `array` of length >= 1"),
        ('"us-east-1"', '"Virginia"', "region = 'Virginia': expected `str` matching"),
        ("vcpus = 64", 'vcpus = 64\nmarket = "auction"', "'auction': expected one of 'spot', 'on-demand'"),
        ("vcpus = 64", "vcpus = ", "not valid TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(DeploymentError) as error:
        config.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="cannot read the deployment: No such file"):
        config.load(tmp_path / "none.toml")


def test_names() -> None:
    assert config.locate("runner") == ("runner", Path("runner.toml"))
    assert config.locate("fleets/runner.toml") == ("runner", Path("fleets/runner.toml"))
    for bad in ("Runner", "r", "-runner", "runner-", "my_runner", "r" * 25):
        with pytest.raises(DeploymentError, match="expected a name of 2 to 24"):
            config.locate(bad)

"""An AWS account for tests, started once, emptied for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.aws import Aws
from tests.deploy.aws_server import REGION, AwsServer


@pytest.fixture(scope="session")
def aws_process() -> Iterator[AwsServer]:
    server = AwsServer()
    yield server
    server.stop()


@pytest.fixture
def account(aws_process: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AwsServer:
    """An empty account, which the SDK finds as a person's would."""
    aws_process.reset()
    settings = {
        "AWS_ENDPOINT_URL": aws_process.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return aws_process


class RecordingAws(Aws):
    """Notes what is sent, by the operations' names as the SDK's methods have them."""

    def __init__(self, clients: dict[str, Any]) -> None:
        super().__init__(REGION)
        self._clients = clients
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def _call(self, service: str, operation: str, *, absent: Any = (), **request: Any) -> Any:
        self.sent.append((operation, request))
        return super()._call(service, operation, absent=absent, **request)

    def index(self, operation: str, **parts: Any) -> int:
        """Where the first such request is."""
        for index, (name, request) in enumerate(self.sent):
            if name == operation and parts.items() <= request.items():
                return index
        raise AssertionError(f"no {operation} with {parts} was sent")

    def first(self, operation: str) -> dict[str, Any]:
        """The first such request."""
        return self.sent[self.index(operation)][1]

    def operations(self) -> set[str]:
        return {name for name, _ in self.sent}


@pytest.fixture(scope="session")
def clients() -> dict[str, Any]:
    """The SDK's clients; making them takes longer than most tests."""
    return {}


@pytest.fixture
def aws(account: AwsServer, clients: dict[str, Any]) -> RecordingAws:
    return RecordingAws(clients)

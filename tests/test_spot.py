"""Instance metadata and interruption notices, over real HTTP, and what a worker does about them."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from es.errors import MetadataError
from es.instance_metadata import InstanceMetadata, Notice
from es.redis_server import RedisServer
from tests.deploy.instance_metadata import NOTICE, SPOT_ACTION, MetadataServer
from tests.processes import kill_tree, start, wait_until
from worker.spot import watch


class Service:
    """The service of one instance, and where it is."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.server = MetadataServer(("127.0.0.1", 0), lambda: self.answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Service]:
    each = Service()
    thread = threading.Thread(target=each.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield each
    each.server.shutdown()
    each.server.server_close()
    thread.join()


def test_no_notice_then_a_notice(service: Service) -> None:
    metadata = InstanceMetadata(service.url)
    assert metadata.interruption() is None
    service.answers[SPOT_ACTION] = NOTICE
    assert metadata.interruption() == Notice("terminate", "2030-01-01T00:00:00Z")


def test_a_token_that_expired_does_not_matter(service: Service) -> None:
    metadata = InstanceMetadata(service.url)
    assert metadata.interruption() is None
    service.server.tokens.clear()
    service.answers[SPOT_ACTION] = NOTICE
    assert metadata.interruption() is not None


def test_the_address_comes_from_the_environment_of_the_sdks(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url + "/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert InstanceMetadata().interruption() is None


@pytest.mark.parametrize("answer", ["", "<html>", "[]", '{"action": 1, "time": ""}'])
def test_what_is_no_notice_interrupts_nothing(service: Service, answer: str) -> None:
    service.answers[SPOT_ACTION] = answer
    with pytest.raises(MetadataError):
        InstanceMetadata(service.url).interruption()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
def test_without_a_service_the_watch_ends_and_stops_nothing(endpoint: str) -> None:
    stop = threading.Event()
    watch(stop, InstanceMetadata(endpoint), certain=False)
    assert not stop.is_set()


def test_a_service_that_was_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "es.worker")
    service, stop = Service(), threading.Event()
    address = service.server.server_address
    service.server.server_close()  # nobody listens there now
    watching = threading.Thread(
        target=watch,
        args=(stop, InstanceMetadata(service.url)),
        kwargs={"certain": True, "poll": 0.01},
        daemon=True,
    )
    watching.start()
    wait_until(lambda: "does not answer" in caplog.text, "a question without an answer")
    back = MetadataServer(("127.0.0.1", int(address[1])), lambda: {SPOT_ACTION: NOTICE})
    threading.Thread(target=back.serve_forever, daemon=True).start()
    watching.join(timeout=30)
    back.shutdown()
    back.server_close()
    assert stop.is_set()
    assert "draining: this spot instance will terminate at 2030-01-01T00:00:00Z" in caplog.text
    assert caplog.text.count("does not answer") == 1


def test_an_interrupted_worker_drains_and_exits_with_0(
    service: Service, redis_server: RedisServer, tmp_path: Path
) -> None:
    service.answers[SPOT_ACTION] = NOTICE
    log = tmp_path / "log.txt"
    worker = start(
        *("worker", "--workers", "1", "--redis", redis_server.url),
        log=log,
        env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url},
    )
    try:
        assert worker.wait(timeout=60) == 0
    finally:
        kill_tree(worker)
    assert "draining: this spot instance will terminate" in log.read_text()

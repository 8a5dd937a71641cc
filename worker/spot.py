"""Spot instances: AWS says two minutes ahead that it takes one back, to the instance's own metadata service.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

import http.client
import logging
import os
import threading
import urllib.error
import urllib.request
from http import HTTPStatus

import msgspec
from msgspec import Struct

from es.errors import EsError

ENDPOINT = "http://169.254.169.254"
ACTION = "/latest/meta-data/spot/instance-action"
POLL = 5.0  # s between looks
TIMEOUT = 2.0  # s per request
ANSWER_BYTES = 4096

log = logging.getLogger("es.worker")


class MetadataError(EsError):
    """No metadata service answers, or something else does."""


class Notice(Struct, frozen=True):
    """What is going to happen to this instance."""

    action: str
    """``terminate``, ``stop`` or ``hibernate``."""
    time: str
    """When, about; ISO 8601, UTC."""


class Metadata:
    """The instance's metadata service, version 2: every question carries a token."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: its address; None: from AWS_EC2_METADATA_SERVICE_ENDPOINT, else the usual one.
        """
        self._endpoint = (endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT).rstrip(
            "/"
        )
        # The service is on this host's own link: no proxy could reach it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def interruption(self) -> Notice | None:
        """What is going to happen to this instance; None as long as nothing is.

        Raises:
            MetadataError: no answer, or not that of a metadata service.
        """
        try:
            # A new token for every look, so that none is ever too old.
            token = self._ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            answer = self._ask("GET", ACTION, {"X-aws-ec2-metadata-token": token.decode("ascii")})
            return msgspec.json.decode(answer, type=Notice)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND and error.url.endswith(ACTION):
                return None
            raise MetadataError(f"{self._endpoint}: {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MetadataError(f"{self._endpoint}: {error}") from error

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)  # noqa: S310  (the operator's own setting)
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(ANSWER_BYTES)
            return body


def watch(stop: threading.Event, metadata: Metadata, *, certain: bool, poll: float = POLL) -> None:
    """Wait for an interruption notice and set ``stop`` when it comes; return once ``stop`` is set.

    Args:
        stop: set it to end the watch; set here to drain the worker.
        metadata: whom to ask.
        certain: this is a spot instance: a service that does not answer is asked again for ever. Otherwise
            the first question decides whether there is one.
        poll: seconds between questions.
    """
    known = certain
    silent = False
    while not stop.is_set():
        try:
            notice = metadata.interruption()
        except MetadataError as error:
            if not known:
                log.debug("no instance metadata here: %s", error)
                return
            if not silent:
                log.warning("the instance metadata service does not answer, still trying: %s", error)
            silent = True
        else:
            known, silent = True, False
            if notice is not None:
                log.info("draining: this spot instance will %s at %s", notice.action, notice.time)
                stop.set()
        stop.wait(poll)

"""What an EC2 instance can learn about itself, from the metadata service on its own link, version 2.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

import http.client
import os
import urllib.error
import urllib.request
from http import HTTPStatus

import msgspec
from msgspec import Struct

from es.errors import MetadataError

ENDPOINT = "http://169.254.169.254"
TIMEOUT = 2.0  # s per request
ANSWER_BYTES = 4096


class Notice(Struct, frozen=True):
    """What is going to happen to this instance."""

    action: str
    """``terminate``, ``stop`` or ``hibernate``."""
    time: str
    """When, about; ISO 8601, UTC."""


class InstanceMetadata:
    """The instance's metadata service: every question carries a token."""

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
        """What is going to happen to this spot instance; None as long as nothing is.

        Raises:
            MetadataError: no answer, or not that of a metadata service.
        """
        answer = self.get("spot/instance-action")
        try:
            return None if answer is None else msgspec.json.decode(answer, type=Notice)
        except msgspec.DecodeError as error:
            raise MetadataError(f"{self._endpoint}: {error}") from error

    def get(self, item: str) -> str | None:
        """The item of this name, such as ``instance-id``; None if this instance has none.

        Raises:
            MetadataError: no answer, or not that of a metadata service.
        """
        path = f"/latest/meta-data/{item}"
        try:
            # A new token for every look, so that none is ever too old.
            token = self._ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            return self._ask("GET", path, {"X-aws-ec2-metadata-token": token.decode("ascii")}).decode()
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND and error.url.endswith(path):
                return None
            raise MetadataError(f"{self._endpoint}: {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MetadataError(f"{self._endpoint}: {error}") from error

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)  # noqa: S310  (the operator's own setting)
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(ANSWER_BYTES)
            return body

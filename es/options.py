"""Command-line options that several commands share."""

import os
from pathlib import Path

import click
from click.core import ParameterSource

from es import protocol
from es.errors import UsageError

runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    envvar="ES_RUNS_DIR",
    show_default=True,
    show_envvar=True,
    help="Where the runs lie.",
)

redis_url = click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    envvar="ES_REDIS_URL",
    show_envvar=True,
    help="Address of a Redis server, e.g. redis://HOST:6379. A password comes from ES_REDIS_PASSWORD.",
)


def redis_password(url: str) -> str | None:
    """The password for Redis, from the environment.

    Raises:
        UsageError: the address on the command line holds one, where every user of the machine can read it.
    """
    source = click.get_current_context().get_parameter_source("redis_url")
    if source == ParameterSource.COMMANDLINE and protocol.display_url(url) != url:
        raise UsageError("--redis: no password on the command line, please; put it into ES_REDIS_PASSWORD")
    return os.environ.get("ES_REDIS_PASSWORD") or None

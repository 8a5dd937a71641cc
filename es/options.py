"""Command-line options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from es import protocol
from es.errors import UsageError

_CA = "es.options.redis_ca"

runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    envvar="ES_RUNS_DIR",
    show_default=True,
    show_envvar=True,
    help="Where the runs lie.",
)


def redis(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options --redis, passed as ``redis_url``, and --redis-ca; ``redis_login`` knows the rest."""
    for option in (
        click.option(
            "--redis-ca",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            envvar="ES_REDIS_CA",
            show_envvar=True,
            expose_value=False,
            callback=_remember_ca,
            help="The only certificate authority to trust for a rediss:// address. [default: the system's]",
        ),
        click.option(
            "--redis",
            "redis_url",
            metavar="URL",
            envvar="ES_REDIS_URL",
            show_envvar=True,
            help="Address of a Redis server, e.g. rediss://USER@HOST:6379. The password comes from "
            "ES_REDIS_PASSWORD, or the file that ES_REDIS_PASSWORD_FILE names.",
        ),
    ):
        command = option(command)
    return command


def _remember_ca(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[_CA] = value


def redis_login(url: str) -> protocol.Login:
    """User, password and certificate authority for Redis, from options and environment.

    Raises:
        UsageError: the address on the command line holds a password, where every user of the machine can read
            it; or the password's file cannot be read.
    """
    context = click.get_current_context()
    if context.get_parameter_source("redis_url") == ParameterSource.COMMANDLINE and protocol.holds_password(
        url
    ):
        raise UsageError("--redis: no password on the command line, please; put it into ES_REDIS_PASSWORD")
    user = os.environ.get("ES_REDIS_USER") or None
    return protocol.Login(user, _redis_password(), context.meta[_CA])


def _redis_password() -> str | None:
    file = os.environ.get("ES_REDIS_PASSWORD_FILE")
    if not file or os.environ.get("ES_REDIS_PASSWORD"):
        return os.environ.get("ES_REDIS_PASSWORD") or None
    try:
        password = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"ES_REDIS_PASSWORD_FILE={file}: not readable: {error}") from error
    if not password:
        raise UsageError(f"ES_REDIS_PASSWORD_FILE={file}: expected a password, got an empty file")
    return password

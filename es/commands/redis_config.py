"""`es redis-config`: everything a Redis needs that other hosts may reach."""

from pathlib import Path

import click

from es import redis_config


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Name or address by which masters and workers reach the server; may be given several times.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=6379, show_default=True, help="For TLS.")
@click.option(
    "--bind",
    default="* -::*",
    show_default="all addresses",
    help="Addresses to listen on, as Redis takes them.",
)
@click.option(
    "--max-memory-mb",
    type=click.IntRange(16),
    default=1024,
    show_default=True,
    help="Redis refuses more than this.",
)
@click.option(
    "--redis-major",
    type=click.IntRange(6),
    help="Major version of the server; from 7 on its rules are tighter. [default: this machine's, else 7]",
)
def redis_config_command(
    directory: Path, hosts: tuple[str, ...], port: int, bind: str, max_memory_mb: int, redis_major: int | None
) -> None:
    """Write the settings of a Redis for a fleet into DIRECTORY.

    TLS with an authority of its own, a user for masters and one for workers, nothing on disk. Passwords are
    made up unless DIRECTORY holds master.password and worker.password already.
    """
    major = redis_major or redis_config.installed_major() or redis_config.SELECTORS_SINCE
    redis_config.write(directory, hosts, port=port, bind=bind, max_memory_mb=max_memory_mb, redis_major=major)
    address = f"{hosts[0]}:{port}"
    click.echo(
        f"on the server:  redis-server {directory}/redis.conf\n"
        f"the master:     ES_REDIS_PASSWORD_FILE={directory}/master.password es master EXPERIMENT "
        f"--redis rediss://master@{address} --redis-ca {directory}/ca.pem\n"
        "each worker:    needs copies of ca.pem and worker.password, readable by its user only\n"
        f"                ES_REDIS_PASSWORD_FILE=worker.password es worker "
        f"--redis rediss://worker@{address} --redis-ca ca.pem"
    )

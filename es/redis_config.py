"""A Redis that hosts on a network may reach: TLS only, two users with a password each, nothing on disk.

DIR/redis.conf          start with ``redis-server DIR/redis.conf``
DIR/users.acl           the users ``master`` and ``worker``; digests of their passwords
DIR/ca.pem              what masters and workers trust; not a secret
DIR/server.pem .key     the server's certificate and its key
DIR/master.password     secrets; readable by their owner only
DIR/worker.password

The authority's own key is thrown away after its one signature, so that ``ca.pem`` vouches for this server and
nothing else, ever.
"""

import ipaddress
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from es import protocol
from es.errors import EsError, RedisError, UsageError
from es.redis_server import find_binary

USERS = ("master", "worker")
VALID = timedelta(days=3650)
SELECTORS_SINCE = 7
MIN_PASSWORD = 16  # characters; Redis keeps a plain SHA-256 digest, which short ones do not survive


def write(
    directory: Path, hosts: Sequence[str], *, port: int, bind: str, max_memory_mb: int, redis_major: int
) -> None:
    """Write everything; passwords that lie there already are used.

    Args:
        directory: is made if it does not exist.
        hosts: names and addresses of the server, for its certificate.
        port: for TLS; there is no other.
        bind: addresses to listen on, as Redis takes them.
        max_memory_mb: at which Redis refuses to take more.
        redis_major: major version of the server; 7 and newer can bind each command to its keys.

    Raises:
        UsageError: there is a ``redis.conf`` already, or a password too short.
        EsError: the directory cannot be written.
    """
    if (directory / "redis.conf").exists():
        raise UsageError(f"{directory}: there is a redis.conf already; choose another directory")
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        master, worker = (_password(directory / f"{user}.password") for user in USERS)
        acl = [
            "user default off resetpass resetchannels -@all",
            protocol.master_acl("master", master),
            protocol.worker_acl("worker", worker, selectors=redis_major >= SELECTORS_SINCE),
        ]
        _write(directory / "users.acl", "\n".join(acl) + "\n", secret=True)
        _certify(directory, hosts)
        _write(directory / "redis.conf", _settings(directory, port, bind, max_memory_mb))
    except OSError as error:
        raise EsError(f"{error.filename or directory}: cannot write: {error.strerror or error}") from error


def installed_major() -> int | None:
    """Major version of the redis-server on this machine; None if there is none."""
    try:
        said = subprocess.run(
            [find_binary(), "--version"], capture_output=True, text=True, check=False
        ).stdout
    except (RedisError, OSError):
        return None
    found = re.search(r"v=(\d+)", said)
    return int(found.group(1)) if found else None


def _password(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_urlsafe(32) + "\n", secret=True)
    password = path.read_text().strip()
    if len(password) < MIN_PASSWORD:
        raise UsageError(f"{path}: expected a password of at least {MIN_PASSWORD} characters")
    return password


def _write(path: Path, text: str, *, secret: bool = False) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644), "w") as file:
        file.write(text)


def _settings(directory: Path, port: int, bind: str, max_memory_mb: int) -> str:
    settings = {
        "bind": bind,
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": _quoted(directory / "server.pem"),
        "tls-key-file": _quoted(directory / "server.key"),
        "tls-auth-clients": "no",  # clients show passwords, not certificates
        "tls-protocols": '"TLSv1.2 TLSv1.3"',
        "aclfile": _quoted(directory / "users.acl"),
        "protected-mode": "yes",
        "daemonize": "no",
        "save": '""',  # the master's checkpoint is the truth; Redis may forget everything
        "appendonly": "no",
        "dir": _quoted(directory),
        "maxmemory": f"{max_memory_mb}mb",
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": str(protocol.MAX_MESSAGE_BYTES),
        "tcp-keepalive": "10",
        "maxclients": "10000",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _certify(directory: Path, hosts: Sequence[str]) -> None:
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opensim-es Redis authority")])
    ca = (
        _certificate(authority, authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opensim-es Redis")])
    server = (
        _certificate(subject, authority, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(directory / "server.key", key.decode(), secret=True)
    _write(directory / "server.pem", server.public_bytes(serialization.Encoding.PEM).decode())
    _write(directory / "ca.pem", ca.public_bytes(serialization.Encoding.PEM).decode())


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),  # clocks differ
        not_valid_after=now + VALID,
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

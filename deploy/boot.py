"""The boot script of an instance, from `templates/boot.sh` and a few settings; no secret is in it."""

import base64
import importlib.resources
import shlex
import sys

from deploy.resources import Names, Role
from es.errors import DeploymentError

MAX_BYTES = 16_384  # of user data, before base64
MARK = "# @settings@\n"
# Workers and master must draw the same random numbers as the machine that was tested: the same Python.
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def script(names: Names, role: Role, *, bucket: str, software: str, pause: int = 5) -> str:
    """The boot script.

    Args:
        names: of the deployment.
        role: what the instance is to be.
        bucket: where software, run and logs are.
        software: which software, as `software.Software.digest`.
        pause: seconds between tries, times their number.

    Raises:
        DeploymentError: it is longer than AWS allows.
    """
    settings = {
        "NAME": names.name,
        "ROLE": role,
        "REGION": names.region,
        "BUCKET": bucket,
        "SOFTWARE": software,
        "PYTHON": PYTHON,
        "PAUSE": str(pause),
    }
    template = (importlib.resources.files("deploy") / "templates" / "boot.sh").read_text(encoding="utf-8")
    text = template.replace(MARK, "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items()))
    size = len(text.encode())
    if size >= MAX_BYTES:
        raise DeploymentError(
            f"the boot script of the {role} has {size} bytes; AWS takes less than {MAX_BYTES}"
        )
    return text


def user_data(script: str) -> str:
    """As a launch template wants it."""
    return base64.b64encode(script.encode()).decode("ascii")

"""The cache of compiled code: it notices changes anywhere in the package, and is not needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from es.native import compile as native_compile


def double(x: float) -> float:
    return 2.0 * x


def test_change_of_any_source_invalidates_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def hits(stamp: str) -> int:
        monkeypatch.setattr(native_compile, "_package_stamp", lambda: stamp)
        function = native_compile.entry_point(double)
        assert function(21.0) == 42.0
        return sum(function.stats.cache_hits.values())  # type: ignore[attr-defined]  # a numba dispatcher

    assert [hits("before"), hits("before"), hits("after"), hits("after")] == [0, 1, 0, 1]


def test_works_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_compile._PackageCacheImpl, "_locator_classes", [])
    assert native_compile.entry_point(double)(21.0) == 42.0


SQUASH = """
import sys
import numpy as np
from es.native import network
sys.stdin.readline()
network.squash(np.zeros(1), np.zeros(1), np.ones(1), np.ones(1, dtype=np.bool_), 0.0, 1.0, np.empty(1))
print("compiled" if network.squash.stats.cache_misses else "loaded")
"""


def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SQUASH],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert sorted(answers) == ["compiled", "loaded", "loaded", "loaded"]


def test_a_read_only_installation_caches_in_the_users_directory(tmp_path: Path) -> None:
    package = shutil.copytree(
        Path(native_compile.__file__).parents[1],
        tmp_path / "installed" / "es",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for folder in (package, package / "native"):
        (folder / "__pycache__").touch()  # no folder can be made here; root would ignore the mode
        folder.chmod(0o555)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(package.parent)}
    environment.pop("NUMBA_CACHE_DIR", None)
    answers = [
        subprocess.run(
            [sys.executable, "-c", SQUASH],
            cwd=package.parent,
            env=environment,
            input="go\n",
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert answers == ["compiled", "loaded"]
    assert list((tmp_path / "cache").rglob("network.squash-*.nbi"))
    assert not list(package.rglob("*.nbi"))
    for folder in (package, package / "native"):
        folder.chmod(0o755)  # pytest removes it


def test_a_process_that_died_while_compiling_holds_nobody_up(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    dying = SQUASH.replace(
        "network.squash(", "network.squash._cache._wait_for_lock(); sys.exit(3); network.squash("
    )
    assert (
        subprocess.run([sys.executable, "-c", dying], input="go\n", env=environment, text=True).returncode
        == 3
    )
    assert list(tmp_path.rglob("*.lock"))
    done = subprocess.run(
        [sys.executable, "-c", SQUASH],
        input="go\n",
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.stdout.strip() == "compiled"

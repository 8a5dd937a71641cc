"""The cache of compiled code: it notices changes anywhere in the package, and is not needed."""

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

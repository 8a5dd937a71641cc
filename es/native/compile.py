"""How the functions of this package are compiled: numba, with a cache on disk that knows all its sources."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching

F = TypeVar("F", bound=Callable[..., Any])

# numpy's error model divides without a branch for zero divisors; NaN and infinity are caught after each step.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}


def inlined(function: F) -> F:
    """Compile a small function into each of its callers."""
    compiled_function: F = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return compiled_function


def compiled(function: F) -> F:
    """Compile a function that compiled code calls."""
    compiled_function: F = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return compiled_function


def entry_point(function: F) -> F:
    """Compile a function that Python calls, and keep the machine code on disk.

    The cache lies beside the sources, or in the user's cache directory where that is read-only
    (``NUMBA_CACHE_DIR`` moves it). Where no directory can be written, every process compiles for itself.
    """
    dispatcher = numba.njit(**_OPTIONS)(function)
    try:
        # Dispatcher.enable_caching() would build a FunctionCache here, which looks at one source file only.
        dispatcher._cache = _PackageCache(function)
    except RuntimeError:  # numba: "no locator available", that is, no writable directory
        pass
    compiled_function: F = dispatcher
    return compiled_function


@cache
def _package_stamp() -> str:
    """Digest of every source file of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class _PackageStamp:
    """Numba compares the time stamp of the file a function stands in; what it calls stands in other files too."""

    def get_source_stamp(self) -> str:
        return _package_stamp()


class _UserProvided(_PackageStamp, caching.UserProvidedCacheLocator):  # type: ignore[misc]  # numba is untyped
    pass


class _InTree(_PackageStamp, caching.InTreeCacheLocator):  # type: ignore[misc]  # numba is untyped
    pass


class _UserWide(_PackageStamp, caching.UserWideCacheLocator):  # type: ignore[misc]  # numba is untyped
    pass


class _PackageCacheImpl(caching.CompileResultCacheImpl):  # type: ignore[misc]  # numba is untyped
    _locator_classes = (_UserProvided, _InTree, _UserWide)


class _PackageCache(caching.FunctionCache):  # type: ignore[misc]  # numba is untyped
    _impl_class = _PackageCacheImpl

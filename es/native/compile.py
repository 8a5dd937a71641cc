"""How the functions of this package are compiled: numba, with a cache on disk that knows all its sources."""

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching

F = TypeVar("F", bound=Callable[..., Any])

# numpy's error model divides without a branch for zero divisors; NaN and infinity are caught after each step.
# Of fast-math only fused multiply-adds, a tenth faster: every x86-64 processor since 2013 fuses and rounds
# them alike. Reordered sums would round differently wherever the vectors have another length.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
# What Python would need to call a function costs a third of its compile time.
_INTERNAL: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function: F) -> F:
    """Compile a small function into each of its callers; only compiled code can call it."""
    return cast(F, _njit(function, forceinline=True, **_INTERNAL))


def inlined_rounded(function: F) -> F:
    """Compile like ``inlined``, but let every operation round, as ``rounded`` does."""
    return cast(F, _njit(function, forceinline=True, fastmath=False, **_INTERNAL))


def compiled(function: F) -> F:
    """Compile a function that only compiled code can call."""
    return cast(F, _njit(function, **_INTERNAL))


def rounded(function: F) -> F:
    """Compile like ``compiled``, but without fused multiply-adds: every operation rounds, as numpy's do."""
    return cast(F, _njit(function, fastmath=False, **_INTERNAL))


def entry_point(function: F) -> F:
    """Compile a function that Python calls, and keep the machine code on disk.

    The cache lies beside the sources, or in the user's cache directory where that is read-only
    (``NUMBA_CACHE_DIR`` moves it). Where no directory can be written, every process compiles for itself.
    """
    dispatcher = _njit(function)
    # numba raises RuntimeError, "no locator available", where no directory can be written.
    with contextlib.suppress(RuntimeError):
        # Dispatcher.enable_caching() would build a FunctionCache here, which looks at one source file only.
        make_cache: Any = _PackageCache  # numba's constructors carry no types
        dispatcher._cache = make_cache(function)
    return cast(F, dispatcher)


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    compile_lazily: Any = numba.njit  # its annotations leave out half of its options
    return compile_lazily(**(_OPTIONS | options))(function)


@cache
def _package_stamp() -> str:
    """Digest of every source file of this package, and of the task's, whose constants are compiled in."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *(here.parent / "envs").glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class _PackageStamp:
    """Numba looks at the time stamp of a function's own file, but what it calls stands in other files."""

    def get_source_stamp(self) -> str:
        return _package_stamp()


class _UserProvided(_PackageStamp, caching.UserProvidedCacheLocator):
    pass


class _InTree(_PackageStamp, caching.InTreeCacheLocator):
    pass


class _UserWide(_PackageStamp, caching.UserWideCacheLocator):
    pass


class _PackageCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes = [_UserProvided, _InTree, _UserWide]  # noqa: RUF012  # numba's class has a list here


class _PackageCache(caching.FunctionCache):
    _impl_class = _PackageCacheImpl

"""How the functions of this package are compiled: numba, with a cache on disk that knows all its sources."""

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numba
from numba.core import caching

COMPILE_SECONDS = 600.0
"""How long a process waits for another one that compiles the same function; then it does so itself."""

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
    (``NUMBA_CACHE_DIR`` moves it). Processes that start together compile it once. Where no directory can be
    written, every process compiles for itself.
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
    """Lets one process compile while others that need the same function wait and then load it."""

    _impl_class = _PackageCacheImpl
    _lock: IO[bytes] | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._unlock()  # a compilation that failed never came to save
        found = self._load(sig, target_context)
        if found is None and self._wait_for_lock():
            found = self._load(sig, target_context)
            if found is not None:
                self._unlock()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        save: Any = super().save_overload  # numba's methods carry no types
        try:
            save(sig, data)
        finally:
            self._unlock()

    def _load(self, sig: Any, target_context: Any) -> Any:
        load: Any = super().load_overload
        return load(sig, target_context)

    def _wait_for_lock(self) -> bool:
        """Lock this function's cache; False where that is not possible or takes longer than any compilation.

        The lock is the system's: it goes when its holder ends, however that happens.
        """
        try:
            self._impl.locator.ensure_cache_path()
            path = Path(self._cache_path, f"{self._impl.filename_base}.lock")
            lock = path.open("ab")
        except OSError:
            return False
        deadline = time.monotonic() + COMPILE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.close()
                    return False
                time.sleep(0.05)
            except OSError:  # a file system without locks
                lock.close()
                return False
            else:
                self._lock = lock
                return True

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

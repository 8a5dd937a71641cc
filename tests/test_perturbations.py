import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from es import noise, perturbations
from es.perturbations import Perturbations
from es.strategies.update import weighted_sum

SEED, GENERATION, DIM, COUNT = 3, 7, 1001, 150


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as each:
        yield each


@pytest.mark.parametrize("fit", [0, 63, 64, 149, 150, 10**6], ids=lambda fit: f"{fit} fit into memory")
@pytest.mark.parametrize("worthwhile", [0, 10**9], ids=["threads", "no threads"])
def test_the_same_bytes_with_threads_and_without(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, fit: int, worthwhile: int
) -> None:
    monkeypatch.setattr(perturbations, "WORTHWHILE", worthwhile)
    monkeypatch.setattr(perturbations, "SLICE", 100)
    available = perturbations.psutil.virtual_memory()._replace(available=int(fit * 4 * DIM / 0.25))
    monkeypatch.setattr(perturbations.psutil, "virtual_memory", lambda: available)
    drawn = Perturbations(executor, SEED, GENERATION, DIM, COUNT)
    for index in (0, 63, 64, 149):
        np.testing.assert_array_equal(drawn(index), noise.perturbation(SEED, GENERATION, index, DIM))
    weights = np.random.default_rng(0).normal(size=COUNT)
    weights[[0, 5, 70]] = 0.0
    plain = weighted_sum(weights, lambda index: noise.perturbation(SEED, GENERATION, index, DIM), DIM)
    assert weighted_sum(weights, drawn, DIM).tobytes() == plain.tobytes()
    drawn.close()


def test_closing_ends_what_was_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perturbations, "WORTHWHILE", 0)
    begun = []
    monkeypatch.setattr(noise, "draw_perturbation", lambda *address: begun.append(address))
    with ThreadPoolExecutor(1) as executor:
        hold = threading.Event()
        executor.submit(hold.wait)
        Perturbations(executor, SEED, GENERATION, DIM, COUNT).close()
        hold.set()
    assert begun == []

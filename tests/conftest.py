"""Settings of the suite, and the CPU backends that its tests run over."""

from __future__ import annotations

import os
from collections.abc import Iterator

# For the processes that tests start, too, and before anything loads OpenMP or OpenBLAS: their threads sleep while they
# wait. By default they spin, on cores that the other workers of the suite need. No result depends on it.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"
os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: a window cannot open on a test machine

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from rad_fast.device import backends

# The same examples in every run, no clock, nothing written; fixtures hold no state that an example could change.
settings.register_profile(
    "rad_fast",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("rad_fast")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no worker is left with it alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def arrangements() -> list[object]:
    """Every CPU backend, the compiled one at every SIMD level of this processor; what is missing says why."""
    found = []
    for name in backends.CPU:
        try:
            loaded = backends.load(name)
        except ImportError as error:
            found.append(pytest.param((name, ""), id=name, marks=pytest.mark.skip(reason=str(error))))
            continue
        levels = loaded.module.levels() if name == "cpp" else [""]
        found += [pytest.param((name, level), id="-".join(filter(None, (name, level)))) for level in levels]
    return found


@pytest.fixture(params=arrangements())
def kernels(request: pytest.FixtureRequest) -> Iterator[backends.Backend]:
    """A backend's stages; ``kernels.name`` is what the public functions call it."""
    name, level = request.param
    loaded = backends.load(name)
    if not level:
        yield loaded
        return
    usual = loaded.module.level()
    loaded.module.set_level(level)
    yield loaded
    loaded.module.set_level(usual)


@pytest.fixture(scope="session")
def reference() -> backends.Backend:
    return backends.load("reference")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20230501)


@pytest.fixture
def short_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that run the command often: the curves of its report take ten times as long as the selection."""
    from rad_fast.report import curves

    monkeypatch.setattr(curves, "STEPS", 2)
    monkeypatch.setattr(curves.ClassSamples, "stops_paying", lambda games, mistakes: 1)

"""Settings of the suite, and the CPU backends that its tests run over."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: a window cannot open on a test machine

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


def arrangements() -> list[object]:
    """Every CPU backend, the compiled one at every SIMD level of this processor; what is missing says why."""
    found = []
    for finding in backends.findings():
        if finding.name not in backends.CPU:
            continue
        if not finding.usable:
            found.append(pytest.param((finding.name, ""), id=finding.name, marks=pytest.mark.skip(reason=finding.why)))
        elif finding.name == "cpp":
            module = backends.load("cpp").module
            found += [pytest.param(("cpp", level), id=f"cpp-{level}") for level in module.levels()]
        else:
            found.append(pytest.param((finding.name, ""), id=finding.name))
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

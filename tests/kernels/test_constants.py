"""Numbers that Python and C++ both hold are the same."""

from __future__ import annotations

import math

import pytest

from rad_fast.device import backends
from rad_fast.kernels.reference.score import CLIP_BITS


def test_the_compiled_constants_are_those_of_the_specification() -> None:
    try:
        constants = backends.load("cpp").module.constants()
    except ImportError as error:
        pytest.skip(str(error))
    assert constants["logit_clip"] == 2.0**-CLIP_BITS
    for name, value in {"log2_e": 1 / math.log(2), "ln_2": math.log(2), "sqrt_half": math.sqrt(0.5)}.items():
        assert constants[name] == pytest.approx(value, rel=2.0**-24), name  # to float32
    # 2^f on [0, 1) is 1 at 0 and 2 at 1, but for the polynomial's error of 2.1e-9 and its coefficients' rounding.
    assert 1 + sum(constants[f"exp2_{k}"] for k in range(1, 7)) == pytest.approx(2, rel=1e-8)

"""Errors of surveyed positions."""

from __future__ import annotations

import numpy as np
import pytest

from shotline.errors import InputError
from shotline_recordings.simulate.positions import VERTICAL_FACTOR, survey_error_m


def test_survey_errors_have_the_claimed_sigma() -> None:
    errors_m = survey_error_m(4_000, sigma_m=2.5, rng=np.random.default_rng(1))
    # 3 sigma from 4000: of a spread 3.4 %, of a mean 4.7 % of it, of a correlation 0.047.
    assert errors_m.std(axis=0) == pytest.approx([2.5, 2.5, 2.5 * VERTICAL_FACTOR], rel=0.034)
    assert errors_m.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.047 * 2.5 * VERTICAL_FACTOR)
    assert np.corrcoef(errors_m.T)[np.triu_indices(3, 1)] == pytest.approx(np.zeros(3), abs=0.047)
    assert not survey_error_m(3, sigma_m=0.0, rng=np.random.default_rng(1)).any()


def test_same_rng_same_bits_and_bad_input_is_named() -> None:
    first, again = (survey_error_m(5, sigma_m=1.0, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    with pytest.raises(InputError, match="sigma_m: -1 m, expected a standard deviation of 0 or more"):
        survey_error_m(5, sigma_m=-1.0, rng=np.random.default_rng(3))

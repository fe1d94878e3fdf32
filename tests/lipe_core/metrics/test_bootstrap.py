import numpy as np
import pytest

from lipe_core.metrics import bootstrap
from lipe_core.metrics.bootstrap import Interval, bootstrap_mean

VALUES = np.random.default_rng(0).gamma(2.0, size=30)


def test_it_is_the_percentile_bootstrap_resample_by_resample() -> None:
    draw = np.random.default_rng(7)
    means = [VALUES[draw.integers(0, 30, 30)].mean() for _ in range(500)]
    found = bootstrap_mean(VALUES, seed=7, resamples=500, level=0.9)
    assert found.mean == pytest.approx(VALUES.mean())
    assert (found.low, found.high) == pytest.approx((np.quantile(means, 0.05), np.quantile(means, 0.95)))


def test_the_seed_decides() -> None:
    assert bootstrap_mean(VALUES, seed=1) == bootstrap_mean(list(VALUES), seed=1)
    assert bootstrap_mean(VALUES, seed=1) != bootstrap_mean(VALUES, seed=2)


def test_little_memory_gives_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_mean(VALUES, resamples=1001)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 100)
    assert bootstrap_mean(VALUES, resamples=1001) == whole


def test_equal_values_have_an_empty_interval() -> None:
    assert bootstrap_mean([2.5]) == bootstrap_mean([2.5] * 9) == Interval(2.5, 2.5, 2.5)


def test_scale_and_shift_apply_to_the_interval() -> None:
    plain, moved = bootstrap_mean(VALUES), bootstrap_mean(3 - 2 * VALUES)
    assert (moved.mean, moved.low, moved.high) == pytest.approx(
        (3 - 2 * plain.mean, 3 - 2 * plain.high, 3 - 2 * plain.low)
    )


def test_for_many_values_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    found = bootstrap_mean(values, resamples=4000)
    half = 1.96 * values.std() / 2000**0.5
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)


def test_it_covers_the_truth_as_often_as_its_level() -> None:
    samples = np.random.default_rng(2).normal(5.0, 2.0, (300, 40))
    found = [bootstrap_mean(sample, seed=k, resamples=400) for k, sample in enumerate(samples)]
    assert 0.90 < np.mean([interval.low <= 5.0 <= interval.high for interval in found]) < 0.98


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(np.asarray(values, dtype=np.float64))


@pytest.mark.parametrize("options", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_invalid_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="level"):
        bootstrap_mean([1.0], **options)  # type: ignore[arg-type]

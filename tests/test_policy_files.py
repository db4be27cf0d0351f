"""Policy files that are damaged or tampered with: refused with one line, or read; no code of theirs is run."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from metagan_rl.agents import PolicyScheduler, load_policy, save_policy
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork
from metagan_rl.agents.learners.shipped import shipped_policies, shipped_policy
from metagan_rl.agents.searches.tuned import load_schedule, save_schedule, tuned_constant
from metagan_rl.errors import FileFormatError
from metagan_rl.loop import choose_knobs, choose_signals
from metagan_rl.tensor_files import content_of


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    knobs = choose_knobs(["generator_lr_factor", "ratio"])
    config = PolicyConfig(knobs, choose_signals("loop", knobs), True, 4, (3,))
    torch.manual_seed(0)
    network = PolicyNetwork(len(config.signals) + 4, config, config.codec().choices)
    path = tmp_path_factory.mktemp("policies") / "policy.safetensors"
    save_policy(path, PolicyScheduler(config, network.state_dict(), {"gan_updates": 3}))
    return path.read_bytes()


def read(path, content):
    """Whether it could be read; anything but a FileFormatError is the test's failure."""
    path.write_bytes(content)
    try:
        load_policy(path)
    except FileFormatError as error:
        assert "\n" not in str(error) or len(str(error)) < 2000
        return False
    return True


def rebuilt(whole, change, weights=None):
    """The file with its head changed, by someone who knows how the digest is made."""
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    record = json.loads(header["__metadata__"]["metagan_rl"])
    del record["sha256"]
    text = change(record)
    weights = weights or safetensors.torch.load(whole)
    try:
        return content_of(dict(json.loads(text)), weights)
    except (ValueError, TypeError, RecursionError):
        return safetensors.torch.save(weights, metadata={"metagan_rl": text})


def test_a_whole_file_is_read(whole, tmp_path):
    assert read(tmp_path / "policy.safetensors", whole)
    assert read(tmp_path / "policy.safetensors", rebuilt(whole, json.dumps))


def test_flipped_bytes(whole, tmp_path):
    rng = np.random.default_rng(0)
    (length,) = struct.unpack("<Q", whole[:8])
    for _ in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(8 + length if rng.uniform() < 0.5 else len(whole), size=rng.integers(1, 4)):
            damaged[place] ^= 1 << int(rng.integers(8))
        assert bytes(damaged) == whole or not read(tmp_path / "policy.safetensors", bytes(damaged))


def test_weights_that_give_no_finite_numbers_are_refused_although_the_digest_fits(whole, tmp_path):
    for factor in (1e38, 1e10):
        weights = {name: weight * factor for name, weight in safetensors.torch.load(whole).items()}
        (tmp_path / "wild.safetensors").write_bytes(rebuilt(whole, json.dumps, weights))
        with pytest.raises(FileFormatError, match="its outputs may exceed"):
            load_policy(tmp_path / "wild.safetensors")


def test_no_output_is_larger_than_the_bound(whole, tmp_path):
    policy = load_policy(_written(tmp_path, whole))
    bound, state = policy.largest_output(), None
    signals = torch.tensor([[each.low, each.high] for each in policy.config.signals])
    rest = policy.network.direct.in_features - len(signals)
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        ends = signals.gather(1, torch.randint(2, (len(signals), 1), generator=rng))[:, 0]
        more = torch.randint(-1, 2, (rest,), generator=rng)
        outputs, state = policy.network(torch.cat([ends, more])[None], state)
        assert outputs.abs().max() <= bound


def test_a_policy_that_is_a_zip_archive_too_is_refused(whole, tmp_path):
    """Python runs such a file if it is told to; a tensor hides the archive, and the digest fits."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", "print('ran')")
    content = archive.getvalue() + bytes(-len(archive.getvalue()) % 4)
    hidden = {"zz": torch.frombuffer(bytearray(content[:-2] + b"\2\0"), dtype=torch.uint8)}
    path = tmp_path / "both.safetensors"
    path.write_bytes(rebuilt(whole, json.dumps, {**safetensors.torch.load(whole), **hidden}))
    assert zipfile.is_zipfile(path)
    with pytest.raises(FileFormatError, match="zip archive"):
        load_policy(path)


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_have_a_digest_and_small_outputs(name):
    assert load_policy(shipped_policy(name)).largest_output() < 1000


def test_truncations(whole, tmp_path):
    rng = np.random.default_rng(1)
    for length in (0, 1, 7, 8, 9, len(whole) - 1, *rng.integers(len(whole), size=100)):
        assert not read(tmp_path / "policy.safetensors", whole[:length])


CONFIG_VALUES = {
    "hidden": [-1, 10**9, 10**30, 1.5, "4", None, True, [4], {}],
    "layers": [[10**9], [-3], ["3"], [[3]], 3, "33", None, [0], [1e400], []],
    "knobs": [
        [], ["lr"], [["generator_lr_factor"]], "ratio", None, 7, {"generator_lr_factor": 1}, ["ratio"],
        [{"name": "lr", "levels": [1, 2]}], [{"name": "ratio"}], [{"name": "ratio", "levels": 3}],
        [{"name": "ratio", "levels": ["1:1", "1:1"]}], [{"name": "ratio", "levels": ["1:1", "9:1"]}],
        [{"name": "ratio", "levels": ["1:1", "2:1"], "more": 1}], [{"name": "ratio", "levels": [None, ["1:1"]]}],
        [{"name": "generator_lr_factor", "levels": [1.0, "2"]}], [{"name": "generator_lr_factor", "levels": [1, 99]}],
    ],
    "signals": [
        [], ["progress"], ["nothing"], [["progress"]], [None], None, "progress",
        [{"name": "progress"}], [{"name": "nothing", "low": 0, "high": 1, "version": 1}],
        [{"name": "progress", "low": 0, "high": 1, "version": 1}],
    ],
    "control": ["neither", None, ["both"], 3],
    "actions": ["wild", None, ["discrete"], "continuous"],
    "trial_memory": ["yes", None, False, 1],
    "greedy": ["yes", None, 1],
    "more": [1],
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIG_VALUES)
def test_a_configuration_that_was_tampered_with(name, whole, tmp_path):
    for value in CONFIG_VALUES[name]:
        change = lambda record, value=value: json.dumps({**record, "config": {**record["config"], name: value}})  # noqa: E731
        assert not read(tmp_path / "policy.safetensors", rebuilt(whole, change)), value


def test_a_policy_of_another_meaning_is_refused_and_the_difference_named(whole, tmp_path):
    path = tmp_path / "other.safetensors"

    def changed(part, place, **changes):
        def change(record):
            record["config"][part][place].update(changes)
            return json.dumps(record)

        return change

    scale = {"kind": "FactorScale", "limit": 10.0}
    for change, words in (
        (changed("knobs", 0, scale=scale), "knob generator_lr_factor means something else in it: its scale is .*10.0"),
        (changed("signals", 3, version=2), "signal .* means something else in it: its version is 2, here it is 1"),
        (changed("signals", 0, low=-1), "signal progress means something else in it: its low is -1, here it is 0"),
        (changed("signals", 0, name="progres"), "did you mean progress"),
        (changed("knobs", 1, name="ratios"), "did you mean ratio"),
    ):
        path.write_bytes(rebuilt(whole, change))
        with pytest.raises(FileFormatError, match=words):
            load_policy(path)


def test_levels_and_their_order_are_the_policys_own(whole, tmp_path):
    def change(record):
        record["config"]["knobs"][1]["levels"] = ["2:1", "1:1", "1:2", "5:1", "3:1", "1:3"]
        return json.dumps(record)

    path = tmp_path / "mine.safetensors"
    path.write_bytes(rebuilt(whole, change))
    policy = load_policy(path)
    assert policy.codec.knobs[1].levels == ("2:1", "1:1", "1:2", "5:1", "3:1", "1:3")
    save_policy(path, policy)
    assert load_policy(path).config == policy.config


@pytest.mark.parametrize(
    "change",
    [
        lambda record: "not JSON",
        lambda record: "[" * 100_000,
        lambda record: json.dumps([record]),
        lambda record: json.dumps({**record, "version": 99}),
        lambda record: json.dumps({**record, "version": None}),
        lambda record: json.dumps({**record, "version": [1]}),
        lambda record: json.dumps({**record, "format": "another"}),
        lambda record: json.dumps({**record, "config": None}),
        lambda record: json.dumps({**record, "metadata": 3}),
        lambda record: json.dumps({**record, "metadata": {"gan_updates": float("inf")}}),
        lambda record: json.dumps({**record, "metadata": {"gan_updates": "many"}}),
        lambda record: json.dumps({**record, "metadata": {"gan_updates": [1]}}),
    ],
)
def test_a_header_that_was_tampered_with(change, whole, tmp_path):
    assert not read(tmp_path / "policy.safetensors", rebuilt(whole, change))


def test_weights_that_are_no_numbers_or_of_another_kind(whole, tmp_path):
    policy = load_policy(_written(tmp_path, whole))
    for change in (
        lambda w: w * float("nan"),
        lambda w: w.long(),
        lambda w: w.to(torch.complex64),
        lambda w: w[..., :0],
    ):
        weights = {name: change(tensor) for name, tensor in policy.network.state_dict().items()}
        assert not read(tmp_path / "damaged.safetensors", rebuilt(whole, json.dumps, weights))


SCHEDULE = {
    "generator_lr": [1e-3, 1e-4],
    "discriminator_lr": [1e-3, 1e-4],
    "hold": 0.5,
    "ratio": "1:1",
    "loss": "hinge",
    "penalty_weight": 0.1,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        json.dumps({"kind": "metagan-rl schedule", "schedule": []}),
        json.dumps({"kind": "another", "schedule": SCHEDULE}),
        json.dumps({"kind": "metagan-rl schedule", "schedule": SCHEDULE, "metadata": {"gan_updates": float("inf")}}),
        *(
            json.dumps({"kind": "metagan-rl schedule", "schedule": {**SCHEDULE, name: value}})
            for name, value in [
                ("generator_lr", [1e-3]),
                ("generator_lr", [1e-3, "fast"]),
                ("generator_lr", 1e-3),
                ("discriminator_lr", [1e-3, float("nan")]),
                ("hold", "half"),
                ("ratio", ["1:1"]),
                ("loss", "hing"),
                ("penalty_weight", -1),
                ("switch", "late"),
                ("more", 1),
            ]
        ),
    ],
)
def test_schedules_that_were_tampered_with(content, tmp_path):
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps({"kind": "metagan-rl schedule", "schedule": SCHEDULE}))
    assert load_schedule(path).schedule.loss == "hinge"
    path.write_text(content)
    with pytest.raises(FileFormatError):
        load_schedule(path)


def test_a_schedule_that_was_damaged_is_refused_and_one_without_digest_is_a_persons_own(tmp_path):
    path = tmp_path / "schedule.json"
    save_schedule(path, tuned_constant())
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            kept = load_schedule(path)
        except FileFormatError:
            continue
        assert json.loads(bytes(damaged)) == json.loads(whole) and kept.schedule == tuned_constant().schedule
    record = json.loads(whole)
    record["schedule"]["hold"] = 0.25
    path.write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match="take out its sha256"):
        load_schedule(path)
    del record["sha256"]
    path.write_text(json.dumps(record))
    assert load_schedule(path).schedule.hold == 0.25


def test_a_pickle_is_not_a_policy_file(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(Evil(), tmp_path / "evil.safetensors")
    with pytest.raises(FileFormatError):
        load_policy(tmp_path / "evil.safetensors")
    assert not (tmp_path / "ran").exists()


def _written(folder, content):
    (folder / "whole.safetensors").write_bytes(content)
    return folder / "whole.safetensors"

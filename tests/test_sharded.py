"""What the native vector environment refuses, the sharded one refuses in the same words, and no shard goes on alone."""

import multiprocessing

import numpy as np
import pytest

from metagan_rl.envs import ShardedVectorEnv
from metagan_rl.envs.registration import make_vector
from metagan_rl.errors import MetaGANError

ID = "MetaGAN/Ring8-v2"
SHORT = {"horizon": 2, "interval_updates": 12}


def refusal(call, *arguments, **options):
    with pytest.raises(MetaGANError) as refused:
        call(*arguments, **options)
    return type(refused.value), str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_envs": 0},
        {"num_envs": 2.5},
        {"num_envs": 10**9},
        {"env_id": "MetaGAN/Ring9-v2"},
        {"env_id": "nowhere:Ring8-v2"},
        {"split": "tset"},
        {"suite": "rings8"},
        {"render_mode": "human"},
        {"max_episode_steps": 0},
        {"horizn": 3},
        {"horizon": 0},
        {"interval_updates": 13},
        {"knobs": ["rtio"]},
        {"control": "none"},
        {"actions": "jumps"},
        {"signals": "nothing"},
        {"lr_levels": 1},
        {"trial_runs": -1},
        {"price": -1.0},
        {"pace": 0},
        {"reference": "nowhere.json"},
        {"reward": "none"},
        {"initial_weights": "nowhere"},
        {"device": "tpu"},
        {"engine": "steam"},
        {"noise": "pink"},
    ],
    ids=lambda wrong: str(*wrong),
)
def test_an_argument_is_refused_before_workers_start(wrong, monkeypatch):
    options = {"env_id": ID, "num_envs": 2, **SHORT, **wrong}
    expected = refusal(make_vector, **options)
    monkeypatch.setattr(multiprocessing, "get_context", None)
    assert refusal(ShardedVectorEnv, **options, shards=2) == expected


@pytest.fixture(scope="module")
def both():
    native = make_vector(ID, 4, **SHORT)
    sharded = ShardedVectorEnv(ID, 4, 3, **SHORT)
    yield native, sharded
    sharded.close()


def test_calls_are_refused_alike_and_no_shard_goes_on(both):
    native, sharded = both
    good = native.action_space.sample()
    late, short = good.copy(), native.split[0].name
    late[3, 0] = 999
    ended = np.zeros(4, dtype=bool)
    calls = [
        ("step", (good,), {}),
        ("action_masks", (), {}),
        ("reset", (), {"options": {"reset_mask": np.array([True, False, True, True])}}),
        ("reset", (), {"seed": 3}),
        ("reset", (), {"seed": -1}),
        ("reset", (), {"seed": [1, 2]}),
        ("reset", (), {"seed": [1, 2, 3, 0.5]}),
        ("reset", (), {"options": {"task": [short] * 4}}),
        ("reset", (), {"options": {"tasks": [short] * 3}}),
        ("reset", (), {"options": {"tasks": [short, short, short, "nothing"]}}),
        ("reset", (), {"options": {"tasks": [short, short, short, 5]}}),
        ("reset", (), {"options": {"gan_seeds": [1, 2, 3, -4]}}),
        ("reset", (), {"options": {"gan_seeds": [1, 2, 3]}}),
        ("reset", (), {"options": {"reset_mask": ended}}),
        ("reset", (), {"options": {"reset_mask": [1, 0, 0, 0]}}),
        ("reset", (), {"options": {"reset_mask": ~ended, "tasks": [short]}}),
        ("step", (late,), {}),
        ("step", (good[:3],), {}),
        ("step", (good.astype(bool),), {}),
        ("step", (good.tolist()[:2],), {}),
    ]
    for name, arguments, options in calls:
        if options == {"seed": 3}:
            native.reset(seed=3), sharded.reset(seed=3)
            continue
        expected = refusal(getattr(native, name), *arguments, **options)
        assert refusal(getattr(sharded, name), *arguments, **options) == expected
    np.testing.assert_allclose(sharded.step(good)[0], native.step(good)[0], atol=1e-4)


def test_some_members_alone_are_reset(both):
    native, sharded = both
    native.reset(seed=3), sharded.reset(seed=3)
    mask = np.array([False, True, False, True])  # the first shard has none of them
    options = {"reset_mask": mask, "tasks": [native.split[1].name, native.split[2].name], "gan_seeds": [5, 6]}
    (one, told), (other, also) = native.reset(options=options), sharded.reset(options=options)
    np.testing.assert_allclose(other, one, atol=1e-4)
    assert list(also["task"]) == list(told["task"]) and list(also["_task"]) == list(mask)

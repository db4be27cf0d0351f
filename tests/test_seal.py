"""The study that gives files a digest which were written before files had one."""

import json

import pytest
import safetensors.torch
import torch

from metagan_rl.agents import load_policy
from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.agents.learners.run_folder import read_config, read_progress, write_config, write_progress
from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.archives import check_seal
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.studies.seal import Seal, run


def test_files_of_a_run_without_digests_are_read_once_they_are_sealed(tmp_path):
    config = TrainConfig(updates=100).settled()
    write_config(config, tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    del record["sha256"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    records = [{"iteration": 1, "x": 0.1}, {"iteration": 2, "x": 0.2}]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    torch.save({"iteration": 2}, tmp_path / "checkpoint.pt")
    with safetensors.safe_open(str(shipped_policy()), framework="pt") as file:
        head = json.loads(file.metadata()["metagan_rl"])
    del head["sha256"]
    weights = safetensors.torch.load_file(shipped_policy())
    safetensors.torch.save_file(weights, tmp_path / "policy.safetensors", metadata={"metagan_rl": json.dumps(head)})
    for read in (
        lambda: read_config(tmp_path),
        lambda: read_progress(tmp_path),
        lambda: check_seal(tmp_path / "checkpoint.pt", ""),
        lambda: load_policy(tmp_path / "policy.safetensors"),
    ):
        with pytest.raises(FileFormatError):
            read()
    run(Seal(tuple(sorted(tmp_path.iterdir()))))
    assert read_config(tmp_path) == config and read_progress(tmp_path) == records
    check_seal(tmp_path / "checkpoint.pt", "")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"iteration": 2}
    assert (tmp_path / "policy.safetensors").read_bytes() == shipped_policy().read_bytes()
    write_progress(tmp_path, records)

"""Policies on disk: whole at any kill, two writers apart, forged ones refused before they cost anything."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from killed import kills

import pontryagin
from pontryagin import DirectPolicy, ImplicitPolicy, MultiBicycle, ValueFunction
from pontryagin.controllers.baselines import ActorPolicy
from pontryagin.controllers.storage import read_store, write_store
from pontryagin.envs.files import checksum, sha256


def test_a_kill_leaves_the_old_policy_or_the_new_one(policy, tmp_path, monkeypatch):
    z, points = torch.zeros(1, 12), 0
    policy.save(tmp_path)
    known = [policy(0.0, z)]
    policy.value.linear.data += 1
    known.append(policy(0.0, z))
    for _ in kills(monkeypatch, lambda: policy.save(tmp_path)):
        points += 1
        answer = ImplicitPolicy.load(tmp_path, device="cpu")(0.0, z)
        assert any(torch.equal(answer, one) for one in known)
    assert points >= 4 and len(list(tmp_path.glob("[!.]*"))) == 2


FULL = """
import errno, sys
from pathlib import Path
from pontryagin import DoubleIntegrator, ImplicitPolicy, ValueFunction

where, problem = Path(sys.argv[1]), DoubleIntegrator(steps=4)
old, new = (ImplicitPolicy(problem, ValueFunction(problem, 8, seed=seed)) for seed in (0, 1))
old.save(where / "policy")
try:
    (where / "filler").write_bytes(bytes(2**20))
except OSError as error:
    assert error.errno == errno.ENOSPC
for _ in range(2):
    try:
        new.save(where / "policy")
    except OSError as error:
        assert error.errno == errno.ENOSPC
    else:
        sys.exit("it was written to a full disk")
    found = ImplicitPolicy.load(where / "policy", device="cpu").state_dict()
    assert all(bool((found[name] == tensor).all()) for name, tensor in old.state_dict().items())
    assert not list(where.rglob("*.partial"))
(where / "filler").unlink()
new.save(where / "policy")
found = ImplicitPolicy.load(where / "policy", device="cpu").state_dict()
assert all(bool((found[name] == tensor).all()) for name, tensor in new.state_dict().items())
"""


def test_a_disk_that_is_full_leaves_the_old_policy(tmp_path):
    """A real one: a file system of 256 kB in memory, where this user may make one in a namespace of its own."""
    mount = f"mount -t tmpfs -o size=256k none '{tmp_path}'"
    private = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*private, mount], capture_output=True).returncode:
        pytest.skip("no file system of one's own can be mounted here")
    line = [*private, f'{mount} && "$0" -c "$1" \'{tmp_path}\'', sys.executable, FULL]
    environment = {**os.environ, "PYTHONPATH": str(Path(pontryagin.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_writers_and_a_reader_never_meet_a_policy_without_weights(tmp_path):
    troubles, ends = [], threading.Event()
    write_store(tmp_path, "policy", {"w": torch.zeros(3)}, {})

    def write(k):
        for i in range(25):
            write_store(tmp_path, "policy", {"w": torch.full((3,), 100.0 * k + i)}, {})

    def read():
        while not ends.is_set():
            try:
                read_store(tmp_path, "policy")
            except ValueError as error:
                troubles.append(error)

    writers = [threading.Thread(target=write, args=(k,)) for k in (1, 2)]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ends.set()
    reader.join()
    assert troubles == [] and len(list(tmp_path.glob("*.safetensors"))) == 1


def test_notes_may_hold_numpys_numbers_and_what_they_may_not_is_named(policy, tmp_path):
    policy.save(tmp_path, {"cost": np.float32(2.5), "seeds": np.arange(2), "where": Path("x")})
    assert json.loads((tmp_path / "policy.json").read_text())["notes"] == {"cost": 2.5, "seeds": [0, 1], "where": "x"}
    with pytest.raises(ValueError, match=r"policy\.notes\.law is a function"):
        policy.save(tmp_path, {"law": lambda: 0})


def forge(folder, change, tensors=None):
    """Change the record of a policy, and its weights, and make the checksums right again."""
    record = json.loads((folder / "policy.json").read_text())
    if tensors is not None:
        blob = safetensors.torch.save(tensors)
        (folder / record["weights"]).write_bytes(blob)
        record["weights_sha256"] = sha256(blob)
    change(record)
    (folder / "policy.json").write_text(json.dumps({**record, "checksum": checksum(record)}))
    return folder


def put(*path, value):
    def change(record):
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


FORGERIES = [
    *(put("value", "width", value=v) for v in (10**9, -1, "64", 64.5, None, [64], 17)),
    *(put("value", "depth", value=v) for v in (10**9, -1, 2.5)),
    *(put("value", "rank", value=v) for v in (10**9, -1)),
    *(put("value", value=v) for v in ({"anchors": 10**9}, [], 3)),
    put("value", value={"expanded": 10**9, "agent_width": 0, "agent_rank": 1}),
    put("value", value={"width": 16, "depth": 1, "rank": 10, "agent_width": 10**6, "agent_rank": 10**6}),
    put("value", value={"width": 16, "depth": 1, "rank": 10, "nominal": True}),
    put("value", "bogus", value=1),
    *(put("problem", value=v) for v in (None, [], {}, {"class": 3, "parameters": {}})),
    put("problem", value={"class": "a:b", "parameters": 3}),
    *(put("problem", "class", value=v) for v in ("os:system", "pontryagin.envs.problem:Problem", "")),
    *(put("problem", "parameters", k, value=v) for k in ("steps", "mass", "horizon", "bogus") for v in (-1, "x", [])),
    *(put("argmax", value=v) for v in (None, 3, {}, {"operator": 3})),
    *(put("argmax", "operator", value=v) for v in ({"name": "os.system"}, {"name": "ProjectedNewton", "x": 1}, None)),
    *(put("argmax", "max_iterations", value=v) for v in (10**9, "x", -1, None)),
    *(put("argmax", "tolerance", value=v) for v in ("x", -1, float("nan"), None)),
    put("argmax", "starts", value="somewhere"),
    put("argmax", "hamiltonian", value=["held"]),
    put("weights", value=3),
    put("weights", value="../../etc/passwd"),
    put("weights_sha256", value=None),
    put("format", value=[1]),
    put("kind", value=7),
]  # fmt: skip


@pytest.mark.timeout(60)
def test_forged_policies_are_sentences_and_cost_nothing(policy, tmp_path):
    for k, change in enumerate(FORGERIES):
        policy.save(tmp_path / str(k))
        with pytest.raises(ValueError):  # noqa: PT011 whatever it is, no other error and no policy
            pytest.fail(f"{k}: {ImplicitPolicy.load(forge(tmp_path / str(k), change), device='cpu')}")


def test_forged_crowds_and_networks_of_the_baselines_are_refused(tmp_path):
    crowd = MultiBicycle(2)
    ImplicitPolicy(crowd, ValueFunction(crowd, 8)).save(tmp_path / "crowd")
    with pytest.raises(ValueError, match="num_agents is 1000000000; expected at most"):
        ImplicitPolicy.load(forge(tmp_path / "crowd", put("problem", "parameters", "num_agents", value=10**9)))
    DirectPolicy(crowd, 8).save(tmp_path / "direct")
    with pytest.raises(ValueError, match="declares width 1000000000"):
        DirectPolicy.load(forge(tmp_path / "direct", put("network", "width", value=10**9)))
    actor = ActorPolicy(crowd, [(torch.zeros(4, 9), torch.zeros(4))], torch.zeros(9), torch.ones(9))
    for k, change in enumerate((put("network", value={}), put("network", "layers", value=10**9))):
        actor.save(tmp_path / str(k))
        with pytest.raises(ValueError, match="does not describe"):
            ActorPolicy.load(forge(tmp_path / str(k), change))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(policy, tmp_path, bad):
    policy.save(tmp_path)
    tensors, _ = read_store(tmp_path, "policy")
    tensors["opening"][0, 0] = bad
    with pytest.raises(ValueError, match="not finite in 'opening'"):
        ImplicitPolicy.load(forge(tmp_path, lambda record: None, tensors))


def test_weights_that_are_no_tensors_are_refused(policy, tmp_path):
    policy.save(tmp_path)
    record = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / record["weights"]).write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="not a safetensors file"):
        ImplicitPolicy.load(forge(tmp_path, put("weights_sha256", value=sha256(b"\xff" * 64))))


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_in_the_place_of_a_policy_does_not_hang(policy, tmp_path):
    os.mkfifo(tmp_path / "policy.json")
    with pytest.raises(ValueError, match="not a regular file"):
        ImplicitPolicy.load(tmp_path)

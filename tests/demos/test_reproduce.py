"""Every figure that can be made again names a file that is kept and a command that exists."""

import json

import pytest
from test_demos import FOLDER, loaded

from pontryagin.training.commands.cli import _parsed

reproduce = loaded("reproduce")
ROOT = FOLDER.parent


@pytest.mark.parametrize("name", reproduce.REPEATS)
def test_the_command_exists_and_its_file_is_kept(name):
    repeat = reproduce.REPEATS[name]
    kept = json.loads((ROOT / "results" / repeat.kept).read_text())
    if repeat.tolerance is not None:
        assert len(reproduce.compared(kept, kept)) >= 4
    if repeat.command[:2] == ("-m", "pontryagin"):
        assert callable(_parsed(list(repeat.command[2:])))
    else:
        assert (ROOT / repeat.command[0]).is_file()


def test_what_differs_is_named():
    kept, now = (
        {"a": {"gap_mean": 0.01, "other": 1.0}, "mean": 2.0},
        {"a": {"gap_mean": 0.0102, "other": 9.0}, "mean": 2.0},
    )
    rows = reproduce.compared(kept, now)
    assert rows == [("a/gap_mean", 0.01, 0.0102), ("mean", 2.0, 2.0)]
    assert reproduce.outside(rows, 0.01) == ["a/gap_mean"] and reproduce.outside(rows, 0.1) == []
    assert reproduce.outside(rows, None) == [] and reproduce.outside([], 0.1) == ["no figures"]
    assert reproduce.outside([("mean", 1.0, float("nan"))], 0.1) == ["mean"]


def test_an_unknown_name_is_told_all_names():
    with pytest.raises(ValueError, match="'cat'; expected one of quadrotor, "):
        reproduce.main("cat")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, repeat in reproduce.REPEATS.items() if repeat.tolerance is not None])
def test_the_figures_of_the_shipped_policies_come_out_again(name, tmp_path):
    rows = reproduce.main(name, tmp_path)
    assert "gap_mean" in [key for key, _, _ in rows]

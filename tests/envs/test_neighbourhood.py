"""What other people's machinery does with the environments: makes them by id, seeds them, pickles and draws them."""

import importlib.metadata
import os
import pickle
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import pontryagin
from pontryagin import DoubleIntegrator, OptimalControlEnv, OptimalControlVectorEnv, Quadrotor
from pontryagin.envs import compiling, render, window

pygame = pytest.importorskip("pygame")


def test_a_list_of_frames():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("pontryagin/Quadrotor-v0", steps=6, render_mode="rgb_array_list")
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(4, np.float32))
    frames = env.render()
    assert len(frames) == 4 and frames[0].shape == (720, 960, 3)
    env.close()


def fresh_python(program, folder):
    """In a process that has imported nothing yet, with ``folder`` as the current one and first on its path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_prefix_imports_the_package_where_nobody_has(tmp_path):
    make = "gymnasium.make('pontryagin:pontryagin/Quadrotor-v0', steps=5)"
    program = f"import gymnasium; print({make}.unwrapped.problem.steps)"
    code, out, err = fresh_python(program, tmp_path)
    assert (code, out.strip()) == (0, "5"), err


def test_a_folder_of_the_same_name_hides_nothing(tmp_path):
    link = Path(sysconfig.get_path("purelib"), "pontryagin-link.pth")
    found = importlib.metadata.distributions(name="pontryagin")
    if not link.exists() and any(one.read_text("direct_url.json") for one in found):
        pytest.skip("an editable install that `make install` did not make")
    (tmp_path / "pontryagin").mkdir()
    code, _, err = fresh_python("import pontryagin; pontryagin.Problem", tmp_path)
    assert code == 0, err


def test_np_random_of_the_vector_environment_is_seeded():
    env = OptimalControlVectorEnv(DoubleIntegrator(), 2)
    draws = []
    for seed in (3, 3, [3, 7], 4):
        env.reset(seed=seed)
        assert env.np_random_seed == (4 if seed == 4 else 3)
        draws.append(env.np_random.random())
    assert draws[0] == draws[1] == draws[2] != draws[3]


@pytest.mark.parametrize("compile", [False, True])
def test_a_vector_environment_is_pickled_with_its_moment(compile, monkeypatch):
    def lazily(function, device):  # what compiled code is to pickle
        return lambda *tensors: function(*tensors)

    monkeypatch.setattr(pontryagin.envs.vector, "compiled", lazily)
    env = OptimalControlVectorEnv(Quadrotor(steps=6), 2, render_mode="rgb_array", compile=compile)
    env.reset(seed=1)
    actions = np.full((2, 4), 0.1, np.float32)
    env.step(actions)
    env.render()
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(8):  # past the end of the episode, where new states are drawn
        for mine, its in zip(env.step(actions)[:4], twin.step(actions)[:4], strict=True):
            assert np.array_equal(mine, its)
    assert twin.render()[0].shape == (720, 960, 3)


def test_the_sb3_adapter_is_pickled():
    adapter = pontryagin.as_sb3(OptimalControlVectorEnv(Quadrotor(steps=6), 2))
    adapter.seed(1)
    adapter.reset()
    twin = pickle.loads(pickle.dumps(adapter))
    actions = np.full((2, 4), 0.1, np.float32)
    for _ in range(8):
        for mine, its in zip(adapter.step(actions)[:3], twin.step(actions)[:3], strict=True):
            assert np.array_equal(mine, its)


def test_compiled_code_is_made_again():
    if not compiling.compiler_at_hand():
        pytest.skip("no compiler")
    env = OptimalControlVectorEnv(DoubleIntegrator(), 2, compile=True)
    env.reset(seed=0)
    assert pickle.loads(pickle.dumps(env))._transition is not None


def test_windows_do_not_close_each_other(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    first, second = (OptimalControlEnv(DoubleIntegrator(steps=200, horizon=1.0), render_mode="human") for _ in range(2))
    action = np.zeros(1, np.float32)
    for env in (first, second):
        env.reset(seed=0)
    first.step(action)
    second.close()
    first.step(action)
    assert not first._renderer.window_closed and pygame.display.get_init()
    second.reset(seed=0)
    pygame.event.post(pygame.event.Event(pygame.WINDOWCLOSE, window=first._renderer._window._window))
    second.step(action)  # whoever looks first at the events, the window that was meant closes
    first.step(action)
    assert first._renderer.window_closed and not second._renderer.window_closed
    first.close()
    second.step(action)
    second.close()
    assert not pygame.display.get_init()


def test_without_a_display_that_is_said_at_once(monkeypatch, capsys):
    from pontryagin.training.commands import play
    from pontryagin.training.commands.cli import main

    monkeypatch.setattr(play, "load_controller", lambda *_: pytest.fail("it goes on"))
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(SystemExit) as stop:
        main(["play", "quadrotor"])
    assert stop.value.code == 2 and "--video" in capsys.readouterr().err

    def nowhere():
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "init", nowhere)
    with pytest.raises(OSError, match="no display"):
        window.check_display()


def test_a_window_needs_pygame_ce(monkeypatch):
    monkeypatch.delattr(pygame, "Window")
    with pytest.raises(ImportError, match="pygame-ce"):
        render.Renderer("human", (32, 24)).draw(None, time=0, horizon=1, cost=0, title="", state=np.zeros(2))


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ({"obs": np.zeros(13)}, "a dict of \\['obs'\\]"),
        ("here", "a str"),
        ([[0.0], [0.0, 1.0]], "a list"),
        (None, "shape"),
    ],
)
def test_predict_says_what_it_expects(observation, words, policy):
    with pytest.raises(ValueError, match=words):
        policy.predict(observation)

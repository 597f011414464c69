"""PPO on a pole: with the callback, which records two trainings, and with a logger of ours."""

import sys

import gymnasium
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.logger import HParam, Image

from expman.integrations.stable_baselines3 import StableBaselines3Callback, configure

base, out, mode = sys.argv[1:]
env = gymnasium.make("CartPole-v1")
settings = {"base_dir": base, "quiet": True}


def model() -> PPO:
    return PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=1, device="cpu")


class Raise(BaseCallback):
    def _on_step(self) -> bool:
        raise ValueError("a bad batch")


callback = StableBaselines3Callback("pole", run_name="run", suffix_if_taken=True, **settings)
evaluation = EvalCallback(gymnasium.make("CartPole-v1"), eval_freq=64, n_eval_episodes=1, verbose=0)
ppo = model()
if mode == "raise":
    ppo.learn(64, callback=[callback, Raise()])
ppo.learn(128, callback=[callback, evaluation])
ppo.learn(64, callback=callback, reset_num_timesteps=False)

ppo = model()
logger = configure(experiment="pole", format_strings=["csv"], run_name="logger", **settings)
ppo.set_logger(logger)
ppo.learn(64)
logger.record("seen", Image(np.zeros((3, 4, 5), np.uint8), "CHW"), exclude="csv")
logger.record("hparams", HParam({"gamma": 0.9}, {"reward": 0}), exclude="csv")
logger.record("secret", 1, exclude="expman")
logger.record("loss", np.float32(0.5))
logger.dump(64)
logger.close()

"""A hydra application whose jobs are runs; one of a multirun fails."""

import sys

import hydra
from hydra.core.config_store import ConfigStore

import expman

base, out, mode = sys.argv[1:]
target = {"_target_": "expman.integrations.hydra.HydraCallback"}
config = {
    "lr": 0.1,
    "net": {"layers": [64, 64]},
    "hydra": {
        "run": {"dir": f"{out}/run"},
        "sweep": {"dir": f"{out}/sweep", "subdir": "${hydra.job.num}"},
        "callbacks": {"expman": {**target, "experiment": "app", "base_dir": base, "quiet": True}},
    },
}
ConfigStore.instance().store("config", config)


@hydra.main(version_base=None, config_name="config")
def main(cfg) -> None:
    for step in range(3):
        expman.log({"loss": cfg.lr / (step + 1)}, step)
    if cfg.lr > 0.5:
        raise ValueError("too fast")


sys.argv = [sys.argv[0], *({"run": ["lr=0.2"], "multi": ["-m", "lr=0.1,0.9"]}[mode])]
main()

"""A progress bar of tqdm, while records of logging go into the run."""

import logging
import sys

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

import expman
from expman.integrations.logging import RunLogHandler

base, out, mode = sys.argv[1:]
log = logging.getLogger("train")
log.setLevel(logging.INFO)
logging.getLogger().addHandler(logging.StreamHandler())
logging.getLogger().addHandler(RunLogHandler())
with expman.init("bars", "run", base, redirect_console=True), logging_redirect_tqdm():
    for step in tqdm(range(3), mininterval=0, file=sys.stderr):
        log.info("step %d", step)

"""In a PID namespace of its own: gives a killed trainer's pid to another process.

reuse_pid.py BASE_DIR: prints `crashed` once the writer has found that the trainer is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

base_dir = sys.argv[1]
TRAINER = """
import signal, sys, expman
run = expman.Experiment("pids", "run", sys.argv[1])
for n in range(100):
    run.log_vector({"n": n, "half": n / 2}, n)
run.flush()
print("ready", flush=True)
signal.pause()
"""

writer = subprocess.Popen([sys.executable, "-m", "expman.writer"], stdout=subprocess.PIPE)
assert writer.stdout is not None
name, _, address = writer.stdout.readline().decode().strip().partition("=")
trainer = subprocess.Popen(
    [sys.executable, "-c", TRAINER, base_dir],
    stdout=subprocess.PIPE,
    env={**os.environ, name: address},
)
assert trainer.stdout is not None
assert trainer.stdout.readline() == b"ready\n"

os.kill(writer.pid, signal.SIGSTOP)  # it must not look before the pid is taken
trainer.kill()
trainer.wait()
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(trainer.pid - 1))
other = subprocess.Popen(["sleep", "60"])
assert other.pid == trainer.pid, (other.pid, trainer.pid)
os.kill(writer.pid, signal.SIGCONT)

run_yaml = os.path.join(base_dir, "pids", "run", "run.yaml")
while True:
    with open(run_yaml) as file:
        if "CRASHED" in file.read():
            break
    time.sleep(0.01)
assert other.poll() is None
print("crashed", flush=True)
for process in (other, writer):
    process.terminate()
    process.wait()

"""MLflow's own client, with its address at expman: logs, reads back, goes on, fails."""

import sys

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

base, out, mode = sys.argv[1:]
mlflow.set_tracking_uri(f"expman://{base}")
mlflow.set_experiment("team/digits")
if mode == "raise":
    mlflow.start_run(run_name="first")  # nobody ends it
    mlflow.log_metric("loss", 1.0, 0)
    raise ValueError("a bad batch")

with mlflow.start_run(run_name="first", tags={"team": "blue"}, description="a note") as run:
    mlflow.log_params({"lr": 0.1, "layers": 2})
    for step in range(3):
        mlflow.log_metrics({"loss": 1 / (step + 1), "accuracy": step / 3}, step)
    mlflow.log_text("text", "notes/note.txt")
    with mlflow.start_run(run_name="child", nested=True):
        mlflow.log_metric("loss", 0.5, 7)
client = MlflowClient()
ids = [run.info.run_id]
batch = [Metric("loss", value, 1_700_000_000_000, 3) for value in (0.3, 0.2)]
client.log_batch(run.info.run_id, batch, [Param("late", "yes")], [RunTag("team", "red")])
client.set_terminated(run.info.run_id)
try:
    with mlflow.start_run(run_name="failed"):
        raise ValueError("a bad batch")
except ValueError as exc:
    print("raised", exc)

found = client.get_run(run.info.run_id)
assert ("FINISHED", "first") == (found.info.status, found.info.run_name)
assert {"lr": "0.1", "layers": "2", "late": "yes"} == found.data.params
assert ("red", "a note") == (found.data.tags["team"], found.data.tags["mlflow.note.content"])
history = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "loss")]
assert [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.2), (3, 0.3)] == sorted(history), history
named = mlflow.search_runs(
    experiment_names=["team/digits"], filter_string="metrics.loss < 0.45", output_format="list"
)
assert ["first"] == [one.info.run_name for one in named]
assert "text" == mlflow.artifacts.load_text(f"{found.info.artifact_uri}/notes/note.txt")
client.create_registered_model("digits")
assert ["digits"] == [model.name for model in client.search_registered_models()]

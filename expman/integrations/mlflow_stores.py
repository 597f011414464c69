"""What MLflow's entry points ask for, for the scheme `expman`. MLflow imports it: it is light."""

from __future__ import annotations

from typing import Any

__all__ = ["registry_store", "tracking_store"]


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """The store of `MLFLOW_TRACKING_URI=expman:///path/of/experiments`."""
    from expman.integrations.mlflow import MirroringStore

    return MirroringStore(store_uri, artifact_uri)


def registry_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """MLflow's own registry of models, in the database of the store."""
    from expman.integrations.mlflow import registry_at

    return registry_at(store_uri)

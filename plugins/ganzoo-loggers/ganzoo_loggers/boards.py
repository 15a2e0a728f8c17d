"""Each of them writes with its own library, which is imported when a run begins."""

import json
import os
import re
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from ganzoo import GanzooError, Logger
from ganzoo.files import write_json
from ganzoo.runfolder import read_table

PATIENCE = 30  # seconds for a server to answer


class TensorBoard(Logger):
    """Event files in RUN/tensorboard. Those of a run that goes on hide what was logged after the checkpoint."""

    def __init__(self, run: Path, images: int) -> None:
        _library("tensorboard")
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(run / "tensorboard"), purge_step=images + 1 if images else None)

    def settings(self, recipe: Mapping[str, Any]) -> None:
        lines = "\n".join(f"    {key} = {json.dumps(value)}" for key, value in recipe.items())  # Markdown: as it is
        self._writer.add_text("recipe", lines, 0)

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def sample(self, grid: Image.Image, images: int) -> None:
        self._writer.add_image("samples", np.array(grid), images, dataformats="HWC")

    def close(self, finished: bool) -> None:
        self._writer.close()


class WeightsAndBiases(Logger):
    """A run of a project, which goes on under its name; its files lie in RUN/wandb."""

    def __init__(
        self,
        run: Path,
        images: int,
        *,
        project: Annotated[str, Field(description="project on the server")] = "ganzoo",
        entity: Annotated[str, Field(description="user or team; empty: your own")] = "",
        mode: Annotated[
            Literal["", "online", "offline"], Field(description="empty: online, or as WANDB_MODE says")
        ] = "",
    ) -> None:
        wandb = _library("wandb")
        patience = dict.fromkeys(("init_timeout", "finish_timeout"), PATIENCE)
        settings = wandb.Settings(console="off", disable_git=True, silent=True, login_timeout=1, **patience)
        known = sorted((run / "wandb").glob("*run-*-*"))  # offline-run-DATE-ID and run-DATE-ID
        self._image = wandb.Image
        self._run = wandb.init(
            dir=str(run),
            id=known[-1].name.rpartition("-")[2] if known else None,
            resume="allow",
            name=run.resolve().name,
            project=project,
            entity=entity or None,
            mode=mode or None,
            settings=settings,
        )

    def settings(self, recipe: Mapping[str, Any]) -> None:
        self._run.config.update(dict(recipe), allow_val_change=True)

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        self._run.log(dict(values), step=images)

    def sample(self, grid: Image.Image, images: int) -> None:
        self._run.log({"samples": self._image(grid)}, step=images)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class MLflow(Logger):
    """A run of an experiment; RUN/mlflow.json says which. What it holds already is not logged again."""

    def __init__(
        self,
        run: Path,
        images: int,
        *,
        uri: Annotated[str, Field(description="server or folder; empty: MLFLOW_TRACKING_URI, or mlruns")] = "",
        experiment: Annotated[str, Field(description="name of the experiment")] = "ganzoo",
    ) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a lost server must not hold up a training
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE))
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._entities, tracking = _library("mlflow.entities"), import_module("mlflow.tracking")
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").absolute().as_uri()
        self._client = tracking.MlflowClient(tracking_uri=uri)
        file, known = run / "mlflow.json", read_table(run / "mlflow.json")
        self._goes_on = known.get("uri") == uri and bool(known.get("run"))
        if self._goes_on:
            self._run = self._client.get_run(known["run"]).info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            found = self._client.get_experiment_by_name(experiment)
            place = found.experiment_id if found else self._client.create_experiment(experiment)
            self._run = self._client.create_run(place, run_name=run.resolve().name).info.run_id
            write_json(file, {"uri": uri, "run": self._run})
        logged = self._client.get_metric_history(self._run, "images_per_s") if self._goes_on else []
        self._logged = max((metric.step for metric in logged), default=0)

    def settings(self, recipe: Mapping[str, Any]) -> None:
        if not self._goes_on:  # parameters of a run cannot change
            parameters = [self._entities.Param(key, str(value)[:500]) for key, value in recipe.items()]
            for first in range(0, len(parameters), 100):
                self._client.log_batch(self._run, params=parameters[first : first + 100])

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        if images > self._logged:
            now = int(1000 * time.time())
            named = ((re.sub(r"[^\w\-. /]", "-", name.replace("->", " to ")), value) for name, value in values.items())
            metrics = [self._entities.Metric(name, value, now, images) for name, value in named]
            self._client.log_batch(self._run, metrics=metrics)

    def sample(self, grid: Image.Image, images: int) -> None:
        self._client.log_image(self._run, grid, f"samples/{images:09d}.png")

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _library(name: str) -> Any:
    """The module. Raises GanzooError where it is not installed."""
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ImportError as error:
        raise GanzooError(f"{error}. Install it: pip install 'ganzoo-loggers[{package}]'.") from None

"""TensorBoard, Weights & Biases and MLflow."""

from ganzoo import hookimpl


@hookimpl
def register_loggers(register):
    register("tensorboard", "ganzoo_loggers.boards:TensorBoard", summary="event files in RUN/tensorboard")
    register("wandb", "ganzoo_loggers.boards:WeightsAndBiases", summary="Weights & Biases, online or offline")
    register("mlflow", "ganzoo_loggers.boards:MLflow", summary="an MLflow server or folder")

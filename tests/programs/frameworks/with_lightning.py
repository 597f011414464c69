"""A LightningModule on real digits: fit and test; or a fit that raises, goes on, joins a run."""

import os
import signal
import sys

import lightning
import torch
from sklearn.datasets import load_digits

import expman
from expman.integrations.lightning import ExpmanLogger

base, out, mode = sys.argv[1:]
digits = load_digits()
data = torch.utils.data.TensorDataset(
    torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target)
)
train, test = torch.utils.data.random_split(
    data, [1500, len(data) - 1500], generator=torch.Generator().manual_seed(1)
)


class Digits(lightning.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(64, 10)

    def _loss(self, batch):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.layer(x), y)

    def training_step(self, batch, number):
        if mode == "raise" and number == 3:
            raise ValueError("a bad batch")
        if mode == "kill" and number == 35:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = self._loss(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, number):
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch, number):
        self.log("test_loss", self._loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


loaders = [torch.utils.data.DataLoader(part, 32, shuffle=part is train) for part in (train, test)]


def trainer_of(logger, **others):
    return lightning.Trainer(
        max_epochs=2,
        logger=logger,
        log_every_n_steps=10,
        callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(monitor="val_loss")],
        accelerator="cpu",
        enable_progress_bar=False,
        default_root_dir=out,
        **others,
    )


logger = ExpmanLogger("digits", run_name="run", base_dir=base, quiet=True, log_model=mode == "ok")
if mode == "join":  # a run of the script's, which the entry point lets every Trainer log to
    with expman.init("digits", "current", base, quiet=True):
        trainer_of(True).fit(Digits(), *loaders)
    trainer_of(True, fast_dev_run=True).fit(Digits(), *loaders)
elif mode == "again":
    # Steps are those of the optimizer, of which each has two batches.
    trainer = trainer_of(logger, accumulate_grad_batches=2)
    trainer.fit(Digits(), *loaders)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Digits(), *loaders, ckpt_path="best")
elif mode == "ranks":
    trainer = trainer_of(logger, devices=2, strategy="ddp_fork")
    trainer.fit(Digits(), *loaders)
else:
    trainer = trainer_of(logger)
    try:
        trainer.fit(Digits(), *loaders)
        trainer.test(dataloaders=loaders[1], ckpt_path="best")
    except ValueError as exc:
        print("raised", exc)
        mode = "fine"
        trainer_of(logger).fit(Digits(), *loaders)

import pytest
import torch
from elsewhere import needs

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own, about workers and loggers


def module():
    import lightning.pytorch as lightning

    class RingGAN(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            torch.manual_seed(0)
            self.generator, self.discriminator = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
            self.seen = []

        def configure_optimizers(self):
            return [torch.optim.Adam(network.parameters(), lr=1e-2) for network in (self.generator, self.discriminator)]

        def training_step(self, batch, index):
            generator, discriminator = self.optimizers()
            (real,) = batch
            real_logits, fake_logits = (
                self.discriminator(real),
                self.discriminator(self.generator(real.flip(0)).detach()),
            )
            loss = torch.nn.functional.softplus(-real_logits).mean() + torch.nn.functional.softplus(fake_logits).mean()
            discriminator.zero_grad()
            self.manual_backward(loss)
            discriminator.step()
            generator_loss = torch.nn.functional.softplus(-self.discriminator(self.generator(real))).mean()
            generator.zero_grad()
            self.manual_backward(generator_loss)
            generator.step()
            self.seen.append([group["lr"] for each in self.trainer.optimizers for group in each.param_groups])
            return {"real_logits": real_logits, "fake_logits": fake_logits, "discriminator_loss": loss, "more": 3}

    return RingGAN()


def fit(epochs, folder, checkpoint=None, name="gap-aware", **options):
    import lightning.pytorch as lightning

    from metagan_rl.agents import GANSchedulerCallback

    torch.manual_seed(1)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(24, 2) + 1), batch_size=4)
    callback = GANSchedulerCallback(name, total_steps=18, interval=4, **options)
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[callback], accelerator="cpu", default_root_dir=folder, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    model = module()
    trainer.fit(model, data, ckpt_path=checkpoint)
    trainer.save_checkpoint(folder / "last.ckpt")
    return model, callback


@needs("lightning")
def test_the_callback_sets_rates_and_goes_on_exactly(tmp_path):
    whole, callback = fit(3, tmp_path)
    assert callback.scheduler.last_step == 18 and len({rates[1] for rates in whole.seen}) > 2
    assert "pair_accuracy" in callback.scheduler.ledger.seen()
    fit(1, tmp_path)
    rest, again = fit(3, tmp_path, tmp_path / "last.ckpt")
    assert again.scheduler.last_step == 18
    assert rest.seen == whole.seen[6:]


@needs("lightning")
def test_networks_are_watched_without_anything_returned(tmp_path):
    told, _ = fit(3, tmp_path)
    watched, callback = fit(3, tmp_path, networks=("generator", "discriminator"))
    assert callback.scheduler.last_step == 18 and "pair_accuracy" in callback.scheduler.ledger.seen()
    assert watched.seen[:-1] == told.seen[1:]  # a step of G ends the round, before the module notes its rates


@needs("lightning")
def test_optimizers_that_are_not_there_are_refused(tmp_path):
    from metagan_rl.agents import GANSchedulerCallback
    from metagan_rl.errors import InvalidValueError

    callback = GANSchedulerCallback("constant", total_steps=3, discriminator=2)
    with pytest.raises(InvalidValueError, match="2 optimizers"):
        callback.on_train_start(type("Trainer", (), {"optimizers": [None, None]}), None)
    with pytest.raises(InvalidValueError, match="networks has 'generatr', which the module has not"):
        fit(1, tmp_path, networks=("generatr", "discriminator"))
    with pytest.raises(InvalidValueError, match="before training starts"):
        _ = callback.controls

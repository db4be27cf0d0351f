"""A GAN on eight points of a circle in plain PyTorch, and the three lines that put a scheduler into its loop.

``python docs/examples/own_loop.py`` trains it under rate-check and without momentum. It is the same loop without the
three lines, number for number, under ``--scheduler constant --beta1 0.5``. One seed on one toy says nothing about which
is better.
"""

import argparse
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from metagan_rl import GANScheduler  # added


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Points around eight places on the unit circle, ``[count, 2]``."""
    angle = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    centres = torch.stack([angle.cos(), angle.sin()], dim=1)
    return centres + 0.05 * torch.randn(count, 2, generator=generator)


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))


def train(name: str, steps: int, seed: int, beta1: float = 0.0) -> tuple[float, int, list[float]]:
    """Trains; the share of samples near one of the eight places, how many are reached, and the rates at the end."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    generator, discriminator = network(2, 2), network(2, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    scheduler = GANScheduler(name, g_optimizer, d_optimizer, total_steps=steps, beta1=beta1)  # added

    for step in range(steps):
        real, noise = ring(128, random), torch.randn(128, 2, generator=random)
        real_logits, fake_logits = discriminator(real), discriminator(generator(noise).detach())
        d_loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        g_loss = softplus(-discriminator(generator(noise))).mean()
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()

        controls = scheduler.step(  # added
            real_logits=real_logits, fake_logits=fake_logits, discriminator_loss=d_loss, generator_loss=g_loss
        )
        if (step + 1) % max(1, steps // 5) == 0:
            print(f"step {step + 1}: D's loss {d_loss.item():.3f}, {controls.advice}")

    with torch.no_grad():
        samples = generator(torch.randn(2000, 2, generator=random))
    angles = torch.arange(8) * (math.pi / 4)
    nearest = torch.cdist(samples, torch.stack([angles.cos(), angles.sin()], dim=1)).min(dim=1)
    near = nearest.values < 0.2
    return near.float().mean().item(), len(set(nearest.indices[near].tolist())), scheduler.get_last_lr()


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="a GAN in plain PyTorch under a scheduler")
    parser.add_argument("--scheduler", default="rate-check", help="a name of `metagan-rl list schedulers`, or a file")
    parser.add_argument("--beta1", type=float, default=0.0, help="Adam's first decay rate; the loop's own is 0.5")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    share, places, rates = train(args.scheduler, args.steps, args.seed, args.beta1)
    print(f"{share:.0%} of the samples near one of the 8 places, {places} of them reached")
    print(f"learning rates of G and D at the end {rates[0]:.2e} and {rates[1]:.2e}")


if __name__ == "__main__":
    main()

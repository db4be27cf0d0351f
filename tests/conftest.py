"""What every test relies on: one thread a process, and no denormal floats (a dead GAN's would slow it manyfold)."""

import torch

torch.set_num_threads(1)
torch.set_flush_denormal(True)

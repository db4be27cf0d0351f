"""Networks as plain functions of stacked weights: one tensor operation serves all members of a population."""

from metagan_rl.networks.base import NETWORKS, NetworkKind, StackedNetwork, build_networks, register_networks
from metagan_rl.networks.conv import StackedConv, conv_networks
from metagan_rl.networks.dirac import DiracDiscriminator, DiracGenerator
from metagan_rl.networks.mlp import ACTIVATIONS, StackedMLP

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "DiracDiscriminator",
    "DiracGenerator",
    "NetworkKind",
    "StackedConv",
    "StackedMLP",
    "StackedNetwork",
    "build_networks",
    "conv_networks",
    "register_networks",
]

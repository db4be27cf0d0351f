"""Learners: what trains a scheduler over many GAN runs, and the policies that come of it."""

"""Learners, which train a scheduler over many GAN runs, and the policies that they give."""

"""Learners of Stable-Baselines3 and sb3-contrib; everything that needs them is in this folder."""

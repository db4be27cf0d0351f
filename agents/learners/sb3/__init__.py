"""Learners from Stable-Baselines3 and sb3-contrib. Everything that needs these libraries is in this folder."""

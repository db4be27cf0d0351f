"""Searches: schedulers that were found, or find, by trying. Schedules tuned once, population-based training, bandits."""

"""Searches: schedulers that try settings out. Schedules tuned once, population-based training, and a bandit."""

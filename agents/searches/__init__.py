"""Searches: schedulers found by trying. Schedules that were tuned once, population-based training, a bandit."""

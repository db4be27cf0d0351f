"""Rules: schedulers that people wrote down. By the clock, as recipes, or reacting to what they see."""

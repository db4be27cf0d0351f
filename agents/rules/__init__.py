"""Rules: schedulers written by people. They follow the clock or a recipe, or react to what they see."""

"""The studies that made our figures, run from a checkout: they are not in the wheel.

``python -m metagan_rl.experiments.studies.NAME``; what each came to is in ``experiments/results``.
"""

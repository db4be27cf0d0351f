"""How far schedules carry over: every scheduler under every condition, as a ratio to ``tuned-decay``.

``python -m metagan_rl.experiments.studies.transfer`` runs what is missing and prints the table. ``conditions.py`` says
what is tried, ``study.py`` runs it, and ``table.py`` makes the table from the rows.
"""

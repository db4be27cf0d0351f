"""From run to run: how good the best of k runs on a task is, by who chooses the schedules of the runs.

``python -m metagan_rl.experiments.studies.run_to_run`` runs what is missing and prints the table. ``methods.py`` says
who is compared, ``portfolio.py`` learns the fixed list, ``study.py`` runs it all, ``table.py`` makes table and picture.
"""

"""What schedulers are worth in loops that nobody here designed: eight plain PyTorch loops, written from their papers.

``python -m metagan_rl.experiments.studies.practice`` runs what is missing and prints the table. ``image_loops.py``,
``ctgan.py`` and ``patch.py`` hold the loops, ``arms.py`` what is done to their rates, ``judge.py`` the distance,
``running.py`` one run, ``plan.py`` their order, ``study.py`` all of them, and ``table.py`` the table of the rows.
"""

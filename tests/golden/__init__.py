"""Numbers that a change of structure must not change; see ``record.py``."""

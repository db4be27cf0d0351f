"""Turns rows into statistics, tables, pictures and one page of HTML."""

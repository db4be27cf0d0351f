"""Whether libraries of reinforcement learning take our environments as they are.

Each check runs a library's own conformance test, its own command line or a short training with our ids, and changes
nothing in the library. :mod:`.commands` has what is run as a command, :mod:`.trainings` what is called. What is not
installed is told and left out.
"""

"""The error that a failed conformance check raises."""

from metagan_rl.errors import MetaGANError


class ConformanceError(MetaGANError, AssertionError):
    """A part that a user added does not do what the library relies on.

    Attributes:
        problems: one line for each problem.
    """

    def __init__(self, subject: str, problems: list[str]) -> None:
        """Args: subject: what was checked ("family 'ring'"). problems: one line for each problem."""
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n- ".join([f"{subject} has {count}:", *problems]))

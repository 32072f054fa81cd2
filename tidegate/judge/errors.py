"""What can be wrong with a question."""


class JudgeError(Exception):
    """Root of the errors of this room."""


class ProbeError(JudgeError):
    """A line of input that is no question; `path` names the field, "" the line as a whole."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path

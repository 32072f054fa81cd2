"""What goes wrong between us and an API server."""

GONE = 410
"""The version that was asked for has been compacted away."""
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404


class KubeError(Exception):
    """The API server refused, or could not be asked; `status` is HTTP's, 0 where there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

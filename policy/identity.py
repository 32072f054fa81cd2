"""Names for things that have none of their own: short, stable, and equal exactly when the contents are."""

from base64 import urlsafe_b64encode
from hashlib import sha224


def unique_id(prefix: str, content: str) -> str:
    """`prefix:` and 38 characters: SHA-224 of both in URL-safe base64 without padding (Calico: hash.MakeUniqueID)."""
    digest = sha224(f"{prefix}:{content}".encode()).digest()
    return f"{prefix}:" + urlsafe_b64encode(digest).rstrip(b"=").decode()

"""Order tokens and the ids of the queue, as outbox/CONTRACT.md has them. They need no library."""

import hashlib
import hmac
from pathlib import Path


def read_secret(file: str) -> bytes:
    """The order secret is the text of a file that all publishers and the gateway share."""
    return Path(file).read_bytes().removeprefix(b"\xef\xbb\xbf").strip()


def _hmac(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def order_token(secret: bytes, key: str) -> str:
    """The token of an order key, such as a patient's id."""
    if len(secret) < 16:
        raise ValueError("the order secret has less than 16 bytes")
    if not key or key.strip() != key:
        raise ValueError("the order key is empty, or has white space around it")
    return _hmac(secret, key)


def dedup_id(secret: bytes, source: str, id: str) -> str:
    """The Nats-Msg-Id of a message: no other source can make it."""
    return f"{source}:" + _hmac(secret, f"\n{source}\n{id}")

"""Reading what a server sends, within limits of size and time."""

from __future__ import annotations

import time

import requests


class OverLimit(Exception):  # noqa: N818 - it is a finding about one answer
    """Raised for an answer that is too large or too slow; its text says which."""


def read_bounded(response: requests.Response, most_bytes: int, most_seconds: float) -> bytes:
    """Return the body of an answer that was asked for with ``stream=True``.

    Parameters
    ----------
    most_bytes : int
        Of the body as it is after decompression.
    most_seconds : float
        For all of it; a server that sends a byte now and then would hold up the rest.

    Raises
    ------
    OverLimit
        If it is larger or takes longer.
    requests.RequestException
        If the connection breaks before the end.
    """
    data, end = bytearray(), time.monotonic() + most_seconds
    for chunk in response.iter_content(1 << 16):
        data += chunk
        if len(data) > most_bytes:
            raise OverLimit(f"huge file of more than {most_bytes} bytes")
        if time.monotonic() > end:
            raise OverLimit(f"not complete after {most_seconds:g} seconds")
    return bytes(data)

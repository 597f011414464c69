"""Escapes for characters that must not stand in a line or reach a terminal."""

from __future__ import annotations

__all__ = ["escape"]


def escape(character: str) -> str:
    """Returns the escape of a character as Python writes it: `\\x1b`, `\\u2028`, `\\U000e0001`."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""Small pictures of a run, for notebooks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from expman.reading.media import MediaItem
from expman.reading.text import visible
from expman.storage.paths import read_regular

__all__ = ["pictures_html"]

MOST_PICTURES = 6
MOST_BYTES = 256 * 1024
"""A larger file would make the notebook large: only its name is shown."""
_TYPES = {
    "png": "png",
    "apng": "apng",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "gif": "gif",
    "webp": "webp",
    "bmp": "bmp",
}


def pictures_html(items: Sequence[MediaItem]) -> str:
    """The latest picture of each tag, of so many tags; empty if there is none."""
    latest = {item.tag: item for item in items if item.kind in ("image", "video")}
    return "".join(_figure(item) for item in list(latest.values())[-MOST_PICTURES:])


def _figure(item: MediaItem) -> str:
    step = "" if item.step is None else f", step {item.step}"
    title = escape(visible(f"{item.tag}{step}"))
    return f'<div style="margin:0 1em 0 0">{_picture(item)}<div>{title}</div></div>'


def _picture(item: MediaItem) -> str:
    kind = _TYPES.get(item.file.rpartition(".")[2].lower())
    name = f"<code>{escape(visible(item.file))}</code>"
    if kind is None:
        return name
    try:
        data = read_regular(item.path, most_bytes=MOST_BYTES + 1, follow=True)
    except OSError:
        return name
    if len(data) > MOST_BYTES:
        return name
    text = base64.b64encode(data).decode()
    style = "max-width:160px;max-height:160px;image-rendering:pixelated"
    return f'<img style="{style}" src="data:image/{kind};base64,{text}">'

"""The page as one HTML file: its modules in an import map, its styles and libraries inline.

A module is a data: URL, and relative imports mean nothing there; so each `"./name.js"` becomes
`"expman/name.js"`, which the import map knows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["STATIC", "html_file"]

STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
_IMPORT = re.compile(r"""(\bfrom\s*|\bimport\s*)(["'])\./([\w./-]+\.js)\2""")
_LINK = re.compile(r'<link rel="(stylesheet|icon)" href="static/([^"]+)"[^>]*>\n?')
_SCRIPT = re.compile(r'<script src="static/([^"]+)"([^>]*)></script>\n?')
_POLICY = (
    "default-src 'none'; script-src {scripts} data:; style-src {styles}; img-src data: blob:; "
    "media-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)


def html_file(data: Mapping[str, bytes]) -> bytes:
    """Returns the file.

    Args:
        data: the content of elements that carry data, by id: letters, digits, `+/=` only.
    """
    folder = Path(STATIC)
    scripts: list[str] = []
    styles: list[str] = []

    def link(found: re.Match[str]) -> str:
        kind, name = found.groups()
        if kind == "icon":
            return f'<link rel="icon" href="{_data_url("image/svg+xml", folder / name)}">\n'
        text = (folder / name).read_text().replace("</style", "<\\/style")
        styles.append(text)
        return f"<style>{text}</style>\n"

    def script(found: re.Match[str]) -> str:
        name, options = found.groups()
        if "module" in options:
            text = f'import "expman/{name}";'
            scripts.append(text)
            return f'<script type="module">{text}</script>\n'
        text = (folder / name).read_text().replace("</script", "<\\/script")
        scripts.append(text)
        return f"<script>{text}</script>\n"

    imports = json.dumps({"imports": dict(_modules(folder))})
    scripts.append(imports)
    page = (folder / "index.html").read_text()
    page = _LINK.sub(link, page)
    page = _SCRIPT.sub(script, page)
    policy = _POLICY.format(scripts=_hashes(scripts), styles=_hashes(styles) or "'none'")
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<script type="importmap">{imports}</script>\n'
    )
    mark = '<meta charset="utf-8">\n'
    page = page.replace(mark, mark + head, 1)
    before, body, after = page.partition("</body>")
    pieces = [before.encode()]
    for name, text in data.items():
        kind = "application/json" if name == "expman-report" else "application/octet-stream"
        pieces.append(f'<script type="{kind}" id="{name}">'.encode() + text + b"</script>\n")
    return b"".join([*pieces, body.encode(), after.encode()])


def _modules(folder: Path) -> list[tuple[str, str]]:
    found = []
    for path in sorted(folder.rglob("*.js")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith("vendor/"):
            text = _IMPORT.sub(r"\1\2expman/\3\2", path.read_text())
            code = base64.b64encode(text.encode()).decode()
            found.append((f"expman/{name}", f"data:text/javascript;base64,{code}"))
    return found


def _data_url(kind: str, path: Path) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _hashes(texts: list[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)

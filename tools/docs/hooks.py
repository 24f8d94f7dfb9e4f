"""Hooks of MkDocs: the reference pages, and the pages that lie outside docs/.

Links are written as they hold in the repository. A link out of docs/ leads to a page of `OUTSIDE`,
or to a copy of the file in the site.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from tools import ROOT
from tools.docs.reference import PAGES

OUTSIDE = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "objectomaly_ros/weights/MODEL_CARD.md": "project/model_card.md",
    "config/autoware.md": "project/autoware.md",
}
_SOURCES = {page: source for source, page in OUTSIDE.items()}
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, those from outside docs/, and files that are linked to."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    for page in list(files.documentation_pages()):
        if page.src_uri not in PAGES:
            for target in _linked_files(page.content_string, _source(page.src_uri)):
                name = f"files/{target}"
                if files.get_file_from_path(name) is None:
                    files.append(File.generated(config, name, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links of the repository into links of the site."""
    here = page.file.src_uri
    if here in PAGES:
        return markdown
    source = _source(here)

    def turned(match: re.Match[str]) -> str:
        target, hash_, anchor = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        name = _in_site(_resolved(target, source))
        return (
            f"{match[1]}{posixpath.relpath(name, posixpath.dirname(here))}{hash_}{anchor}{match[3]}"
        )

    return _LINK.sub(turned, markdown)


def _source(page: str) -> str:
    """Return the path of a page in the repository."""
    return _SOURCES.get(page, f"docs/{page}")


def _resolved(target: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _in_site(path: str) -> str:
    """Return where a file of the repository is in the site."""
    inside = path.removeprefix("docs/")
    return OUTSIDE.get(path, inside if inside != path else f"files/{path}")


def _linked_files(markdown: str, source: str) -> list[str]:
    """Return the files outside docs/ to which a page links."""
    found = []
    for _, target, _ in _LINK.findall(markdown):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        path = _resolved(target.partition("#")[0], source)
        if _in_site(path).startswith("files/"):
            if not (ROOT / path).is_file():
                raise PluginError(f"{source} links to {target}: no such file")
            found.append(path)
    return found

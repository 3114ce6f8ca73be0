"""What MkDocs does differently for this site (mkdocs.yml names it).

The pages are written to be read in the repository as well, so their links lead to its files. Those
outside of docs/ are brought into the site: CONTRIBUTING.md and CHANGELOG.md as pages, README.md as
the start page, anything else as plain text. Diagrams are put into their page, where they take the
colours of its scheme.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs"
AS_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
_DIAGRAM = re.compile(r"^!\[[^\]]*\]\((?P<path>(?:\.\./)?images/[\w-]+\.svg)\)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to outside of docs/."""
    for source, name in AS_PAGES.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    pages = [(file.src_uri, file.content_string) for file in files.documentation_pages()]
    for name, text in pages:
        for match in _LINK.finditer(text):
            path = _in_repository(name, match[1])
            target = _in_site(path)
            if target.startswith("source/") and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let the links lead to where the files are in the site, and put diagrams into the page."""
    name = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        path = _in_repository(name, match[1])
        if not path:
            return match[0]
        link = posixpath.relpath(_in_site(path), posixpath.dirname(name) or ".")
        return link + (match[2] or "")

    def inlined(match: re.Match[str]) -> str:
        path = Path(page.file.abs_src_path or "").parent / match["path"]
        return f'<div class="diagram">{path.read_text()}</div>'

    return _LINK.sub(moved, _DIAGRAM.sub(inlined, markdown))


def on_page_content(html: str, **_: object) -> str:
    """Have prompts shown by the style sheet, so that a copied command comes without."""
    return html.replace('<span class="gp">$ </span>', '<span class="gp" data-prompt="$ "></span>')


def _in_repository(page: str, link: str) -> str:
    """The file that a link of a page of the site leads to; empty for one that is no file."""
    if "://" in link or link.startswith("mailto:"):
        return ""
    at_home = next((source for source, name in AS_PAGES.items() if name == page), "")
    directory = DOCS if not at_home or page == "index.md" else "."
    directory = posixpath.join(directory, posixpath.dirname(page))
    path = posixpath.normpath(posixpath.join(directory, link))
    return path if (ROOT / path).is_file() else ""


def _in_site(path: str) -> str:
    if path in AS_PAGES:
        return AS_PAGES[path]
    inside = path.removeprefix(f"{DOCS}/")
    if inside != path and not inside.startswith("examples/"):
        return inside
    return f"source/{path}.txt" if path else ""

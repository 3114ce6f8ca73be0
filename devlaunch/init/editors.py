"""The editors that `devlaunch init` knows: their files, and what comes next."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from xml.sax.saxutils import quoteattr

from devlaunch.config import Config
from devlaunch.init import merging, project
from devlaunch.init.templates import HOST, Hole

Merge = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class File:
    """A template, and where it goes below the project.

    A file that is there is merged with, or left to its owner, who is told by `where` what of the
    text goes where.
    """

    template: str
    path: str
    merge: Merge | None = None
    where: str = "remove it to have it written anew, as above"
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Editor:
    """`next` is what to do when the files are there; `rows` are what was found out, for people.

    `prepare` looks at the project in a directory, and returns an editor that fits it.
    """

    title: str
    files: tuple[File, ...]
    next: str
    prepare: Callable[[Editor, str, Config], Editor] = lambda editor, _root, _config: editor
    rows: tuple[tuple[str, str, str], ...] = ()


_LAUNCHES = partial(merging.merge_jsonc, entries="configurations", key="name")
_TASKS = partial(merging.merge_jsonc, entries="tasks", key="label")
_AT_END = "put this at its end, in place of an older one of ours"
_LAUNCH_JSON = ".vscode/launch.json"


def _by_command(editor: Editor, _root: str, _config: Config) -> Editor:
    """For those that start `devlaunch adapter` by its bare name."""
    text = "devlaunch is not on PATH: start the editor in the environment that has it"
    return editor if shutil.which("devlaunch") else replace(editor, rows=(("note", text, ""),))


def _for_sublime(editor: Editor, root: str, _config: Config) -> Editor:
    file = replace(editor.files[0], path=project.sublime_project(root))
    return replace(editor, files=(file,))


def _for_pycharm(editor: Editor, root: str, _config: Config) -> Editor:
    name = quoteattr(project.pycharm_module(root), {'"': "&quot;"})
    hole = ('<module name="app" />', f"<module name={name} />")
    first, *rest = editor.files
    return replace(editor, files=(replace(first, holes=(hole,)), *rest))


def _for_compose(editor: Editor, root: str, config: Config) -> Editor:
    base = (r"(?<=-f )compose\.yaml", project.compose_file(root))
    return _in_a_container(editor, root, config, "put your service's in its place", base)


def _for_k8s(editor: Editor, root: str, config: Config) -> Editor:
    whose = "put your Deployment's and its container's in its place"
    return _in_a_container(editor, root, config, whose)


def _in_a_container(editor: Editor, root: str, config: Config, whose: str, *own: Hole) -> Editor:
    """Also, where VS Code is in use, the configuration that attaches, with its paths mapped.

    The port that is bound stays on loopback; only apps that devlaunch serves have a host.
    """
    inside = (rf"{project.DEFAULT_ROOT}\b", project.directory_in_image(root))
    host = () if config.target.serves else (('"--host", "0.0.0.0", ', ""),)
    holes = (*own, inside, (r"\b8000\b", str(config.port)), (HOST, "127.0.0.1"), *host)
    files = tuple(replace(file, holes=holes) for file in editor.files)
    if os.path.isdir(os.path.join(root, ".vscode")):
        attach = File("vscode-templates/container.json", _LAUNCH_JSON, _LAUNCHES, holes=(inside,))
        files += (attach,)
    return replace(editor, files=files, rows=(("inside", inside[1], ""), ("name", "web", whose)))


EDITORS = {
    "vscode": Editor(
        "VS Code",
        (
            File("vscode-templates/launch.json", _LAUNCH_JSON, _LAUNCHES),
            File("vscode-templates/tasks.json", ".vscode/tasks.json", _TASKS),
        ),
        'choose "devlaunch" in Run and Debug, and press F5',
    ),
    "pycharm": Editor(
        "PyCharm",
        (
            File("pycharm/devlaunch.run.xml", ".run/devlaunch.run.xml"),
            File("pycharm/attach.run.xml", ".run/devlaunch attach.run.xml"),
        ),
        'choose "devlaunch" among the run configurations, and press Debug',
        _for_pycharm,
    ),
    "neovim": Editor(
        "Neovim with nvim-dap",
        (File("neovim/devlaunch.lua", ".nvim.lua", where=_AT_END),),
        "set exrc in your init.lua, open nvim here, :trust .nvim.lua, and start nvim-dap",
        _by_command,
    ),
    "emacs": Editor(
        "Emacs with dape",
        (File("emacs/devlaunch.el", "devlaunch.el"),),
        "M-x load-file devlaunch.el, and M-x dape devlaunch-adapter",
        _by_command,
    ),
    "zed": Editor(
        "Zed",
        (File("zed/debug.json", ".zed/debug.json", where="put these entries into its list"),),
        'debugger: start, and choose "devlaunch: launch under debugpy"',
    ),
    "helix": Editor(
        "Helix",
        (File("helix/languages.toml", ".helix/languages.toml", where=_AT_END),),
        "open a file of the app in hx, and :debug-start devlaunch",
        _by_command,
    ),
    "sublime": Editor(
        "Sublime Text with Debugger",
        (
            File("sublime/project.sublime-project", "*.sublime-project",
                 where='put these "debugger_configurations" into it'),
        ),
        'open the project, and choose "devlaunch: launch under debugpy" in Debugger',
        _for_sublime,
    ),
    "vimspector": Editor(
        "Vim with Vimspector",
        (
            File("vimspector/vimspector.json", ".vimspector.json",
                 where='put these "adapters" and "configurations" among its own'),
        ),
        ":call vimspector#Launch(), and choose devlaunch: adapter",
        _by_command,
    ),
    "compose": Editor(
        "Docker Compose",
        (File("compose/compose.devlaunch.yaml", "compose.devlaunch.yaml"),),
        "name your service in compose.devlaunch.yaml, and start it as its first lines say",
        _for_compose,
    ),
    "k8s": Editor(
        "Kubernetes",
        (File("k8s/devlaunch.k8s.yaml", "devlaunch.k8s.yaml"),),
        "name your Deployment in devlaunch.k8s.yaml, and patch as its first lines say",
        _for_k8s,
    ),
}  # fmt: skip

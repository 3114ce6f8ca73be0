"""The editors that `devlaunch init` knows: their files, how each is merged, and what comes next."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from xml.sax.saxutils import quoteattr

from devlaunch.config import Config
from devlaunch.init import merging, project
from devlaunch.init.project import Service
from devlaunch.init.templates import HOST, Hole, Launch

Merge = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class File:
    """A template, where it goes below the project, and how it is merged with what is there."""

    template: str
    path: str
    merge: Merge
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be written for one project. `rows` are what was found out, for people."""

    files: tuple[File, ...]
    launch: Launch
    next: str
    rows: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Editor:
    """`next` is what to do when the files are there; `prepare` looks at the project for more."""

    title: str
    files: tuple[File, ...]
    next: str
    prepare: Callable[[Setup, str, Config], Setup] | None = None

    def set_up(self, launch: Launch, root: str, config: Config) -> Setup:
        """The files for the project in `root`. Raises DevlaunchError."""
        setup = Setup(self.files, launch, self.next)
        return self.prepare(setup, root, config) if self.prepare else setup


_LAUNCHES = partial(merging.merge_jsonc, containers={("configurations",): "name"})
_TASKS = partial(merging.merge_jsonc, containers={("tasks",): "label"})
_ZED = partial(merging.merge_jsonc, containers={(): "label"})
_SUBLIME = partial(merging.merge_jsonc, containers={("debugger_configurations",): "name"})
_VIMSPECTOR = partial(merging.merge_jsonc, containers={("adapters",): "", ("configurations",): ""})
_RUN = partial(
    merging.merge_run_configuration,
    ours=frozenset({"SCRIPT_NAME", "MODULE_MODE", "PARAMETERS", "remoteAddress"}),
)
_LAUNCH_JSON = ".vscode/launch.json"


def _by_command(setup: Setup, _root: str, _config: Config) -> Setup:
    """For those that start `devlaunch adapter` by its bare name."""
    if shutil.which("devlaunch"):
        return setup
    text = "devlaunch is not on PATH: start the editor in the environment that has it"
    return replace(setup, rows=(("note", text, ""),))


def _for_sublime(setup: Setup, root: str, _config: Config) -> Setup:
    file = replace(setup.files[0], path=project.sublime_project(root))
    return replace(setup, files=(file,))


def _for_pycharm(setup: Setup, root: str, _config: Config) -> Setup:
    name = quoteattr(project.pycharm_module(root), {'"': "&quot;"})
    hole = ('<module name="app" />', f"<module name={name} />")
    first, *rest = setup.files
    return replace(setup, files=(replace(first, holes=(hole,)), *rest))


def _for_compose(setup: Setup, root: str, config: Config) -> Setup:
    service = project.compose_service(root)
    port = service.port or str(config.port)
    launch = setup.launch
    if config.target.serves and config.port == 8000 and port != "8000":
        launch = replace(launch, words=("--port", port, *launch.words))
    base = service.source or project.COMPOSE_FILES[0]
    holes = (
        ("^  web:", f"  {service.name}:"),
        (r"(?<=-f )compose\.yaml", base),
        *_in_a_container(service, config, port),
    )
    remark = f"from {service.source}" if service.source else "no Compose file here"
    return _in_vscode_too(replace(setup, launch=launch), root, service, holes, ("service", remark))


def _for_k8s(setup: Setup, root: str, config: Config) -> Setup:
    pod = project.deployment(root)
    holes = (
        ("(?<=- name: )web", pod.container),
        (r"\bweb\b", pod.name),
        *_in_a_container(pod, config, str(config.port)),
    )
    remark = f"from {pod.source}" if pod.source else "no Deployment found here"
    return _in_vscode_too(setup, root, pod, holes, ("deploy", remark))


def _in_a_container(service: Service, config: Config, port: str) -> tuple[Hole, ...]:
    """The port that is bound stays on loopback; only apps that devlaunch serves have a host."""
    host = () if config.target.serves else (('"--host", "0.0.0.0", ', ""),)
    return ((r"/app\b", service.root), (r"\b8000\b", port), (HOST, "127.0.0.1"), *host)


def _in_vscode_too(
    setup: Setup, root: str, service: Service, holes: tuple[Hole, ...], found: tuple[str, str]
) -> Setup:
    """Where VS Code is in use, the configuration that attaches, with its paths mapped."""
    files = tuple(replace(file, holes=holes) for file in setup.files)
    if os.path.isdir(os.path.join(root, ".vscode")):
        mapped = ((re.escape(project.DEFAULT_ROOT) + r"\b", service.root),)
        files += (File("vscode-templates/container.json", _LAUNCH_JSON, _LAUNCHES, mapped),)
    label, remark = found
    rows = ((label, f"{service.name}, {service.root} in it", remark),)
    return replace(setup, files=files, rows=rows)


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
            File("pycharm/devlaunch.run.xml", ".run/devlaunch.run.xml", _RUN),
            File("pycharm/attach.run.xml", ".run/devlaunch attach.run.xml", _RUN),
        ),
        'choose "devlaunch" among the run configurations, and press Debug',
        _for_pycharm,
    ),
    "neovim": Editor(
        "Neovim with nvim-dap",
        (File("neovim/devlaunch.lua", ".nvim.lua", partial(merging.merge_block, comment="--")),),
        "set exrc in your init.lua, open nvim here, :trust .nvim.lua, and start nvim-dap",
        _by_command,
    ),
    "emacs": Editor(
        "Emacs with dape",
        (File("emacs/devlaunch.el", "devlaunch.el", partial(merging.merge_block, comment=";;")),),
        "M-x load-file devlaunch.el, and M-x dape devlaunch-adapter",
        _by_command,
    ),
    "zed": Editor(
        "Zed",
        (File("zed/debug.json", ".zed/debug.json", _ZED),),
        'debugger: start, and choose "devlaunch: launch under debugpy"',
    ),
    "helix": Editor(
        "Helix",
        (File("helix/languages.toml", ".helix/languages.toml", merging.merge_languages),),
        "open a file of the app in hx, and :debug-start devlaunch",
        _by_command,
    ),
    "sublime": Editor(
        "Sublime Text with Debugger",
        (File("sublime/project.sublime-project", "*.sublime-project", _SUBLIME),),
        'open the project, and choose "devlaunch: launch under debugpy" in Debugger',
        _for_sublime,
    ),
    "vimspector": Editor(
        "Vim with Vimspector",
        (File("vimspector/vimspector.json", ".vimspector.json", _VIMSPECTOR),),
        ":call vimspector#Launch(), and choose devlaunch: adapter",
        _by_command,
    ),
    "compose": Editor(
        "Docker Compose",
        (File("compose/compose.devlaunch.yaml", "compose.devlaunch.yaml", merging.replace),),
        "read the first lines of compose.devlaunch.yaml, and start it as they say",
        _for_compose,
    ),
    "k8s": Editor(
        "Kubernetes",
        (File("k8s/devlaunch.k8s.yaml", "devlaunch.k8s.yaml", merging.replace),),
        "read the first lines of devlaunch.k8s.yaml, and patch as they say",
        _for_k8s,
    ),
}

"""The app cannot tell a standby from a cold start: real packages, imported ahead of time or not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.child import Project
from support.interpreters import environment, running

LOOK = """
import json as _json, logging as _logging, os as _os, signal as _signal, sys as _sys
import gc as _gc, mimetypes as _mimetypes
import threading as _threading, warnings as _warnings

def _logger(each):
    if isinstance(each, _logging.PlaceHolder):
        return "placeholder"
    handlers = [type(handler).__name__ for handler in each.handlers]
    return [each.level, each.disabled, each.propagate, each.parent.name, handlers]

def _files():
    found = [_os.path.realpath(f"/proc/self/fd/{fd}") for fd in _os.listdir("/proc/self/fd")]
    return sorted(name.rstrip("0123456789[]") for name in found if "/proc/" not in name)

def _look():
    loggers = _logging.root.manager.loggerDict
    modules = {name: module for name, module in list(_sys.modules.items())
               if type(module) is type(_sys) and not name.startswith("_devlaunch_child")}
    return {
        "modules": sorted(_sys.modules),
        "submodules": {
            name: sorted(key for key, value in list(vars(module).items())
                         if type(value) is type(_sys) and key != "_standby")
            for name, module in modules.items()
        },
        "loaders": {
            name: [type(module.__loader__).__name__, type(module.__spec__.loader).__name__]
            for name, module in modules.items() if vars(module).get("__spec__")
        },
        "argv": _sys.argv, "path": _sys.path, "cwd": _os.getcwd(),
        "main": sorted(vars(_sys.modules["__main__"])),
        "filters": [str(each) for each in _warnings.filters],
        "signals": [str(_signal.getsignal(n)) for n in _signal.valid_signals() if n != 2],
        "loggers": {name: _logger(each) for name, each in loggers.items()},
        "root": [_logging.root.level, len(_logging.root.handlers), _logging.root.manager.disable],
        "random": random.random(),
        "files": _files(),
        "environ": {k: v for k, v in _os.environ.items() if not k.startswith("DEVLAUNCH")},
        "threads": sorted(each.name for each in _threading.enumerate()),
        "finders": [type(each).__name__ for each in _sys.meta_path],
        "path hooks": [getattr(each, "__qualname__", str(each)) for each in _sys.path_hooks],
        "hooks": [_sys.excepthook.__module__, _sys.displayhook.__module__],
        "builtins": sorted(vars(_sys.modules["builtins"])),
        "streams": [type(_sys.stdin).__name__, type(_sys.stdout).__name__, vars(_sys.stdout)],
        "types": sorted(_mimetypes.types_map),
        "collector": [_gc.isenabled(), _gc.get_threshold(), len(_gc.callbacks)],
        "importer": _sys.modules["builtins"].__import__.__module__,
    }

_seen = _look()
value = _json.dumps(_seen)
"""

PACKAGES = {
    "fastapi": "from fastapi import FastAPI, Depends\nfrom fastapi.testclient import TestClient",
    "starlette": "from starlette.applications import Starlette\nimport starlette.routing",
    "flask": "import flask\nflask.Flask(__name__)",
    "django": (
        "from django.conf import settings\nsettings.configure(INSTALLED_APPS=["
        "'django.contrib.auth', 'django.contrib.contenttypes'])\n"
        "import django\ndjango.setup()\nfrom django.contrib.auth.models import User"
    ),
    "sqlalchemy": "import sqlalchemy.orm\nfrom sqlalchemy.ext.asyncio import AsyncSession",
    "pydantic": "import pydantic\nclass M(pydantic.BaseModel):\n    a: int = 1",
    "numpy": "import numpy as np\nfrom numpy.linalg import inv",
    "pandas": "import pandas as pd\npd.DataFrame({'a': [1]})",
    "httpx": "import httpx",
    "aiohttp": "import aiohttp, aiohttp.web",
    "celery": "from celery import Celery\napp_ = Celery('x')\n@app_.task\ndef f(): pass",
    "jinja2": "import jinja2\njinja2.Environment()",
    "requests": "import requests\nrequests.Session()",
    "cryptography": "from cryptography.fernet import Fernet\nFernet.generate_key()",
    "grpc": "import grpc\nimport grpc.aio",
    "loguru": "from loguru import logger",
    "structlog": "import structlog\nstructlog.get_logger()",
    "rich": "import rich.console, rich.logging",
    "yaml": "import yaml",
    "logging": (
        "import logging.config\nlogging.getLogger('sqlalchemy.engine').setLevel('DEBUG')\n"
        "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})\n"
        "import sqlalchemy.orm, requests"
    ),
    "a logger class": (
        "import logging\nclass Mine(logging.Logger):\n    pass\nlogging.setLoggerClass(Mine)\n"
        "import requests, httpx\nassert isinstance(logging.getLogger('urllib3'), Mine)\n"
        "from urllib3 import connectionpool\nassert isinstance(connectionpool.log, Mine)"
    ),
    "warnings": "import warnings\nwarnings.simplefilter('ignore')\nimport numpy, requests",
}

LEFT = {
    "fastapi": {"fastapi.testclient": "prints when imported"},
    "django": {"django.contrib.auth.models": "ImproperlyConfigured when imported alone"},
}
"""What is left to the app; all else of these packages is imported ahead of time."""


def test_the_table_is_long_enough() -> None:
    """15 packages, as issue 4 wants them."""
    assert len(PACKAGES) >= 15 + 3
    assert LEFT.keys() <= PACKAGES.keys()


def check(name: str, directory: Path, **more: Any) -> dict[str, str]:
    """The app finds the same; returns what was left to it."""
    code = f"import random\nrandom.seed(1)\n{PACKAGES[name]}\n{LOOK}"
    project = Project(directory, code, server="uvicorn", **more)
    cold = json.loads(project.run())
    roots = {*project.roots}
    while True:
        with project.standby() as child:
            found = child.wait_for("warm")
            if not found["unsafe"]:
                warm = json.loads(project.promote(child))
                break
        assert not found["unsafe"].keys() & project.unsafe.keys()
        project.unsafe |= found["unsafe"]
    for what, value in cold.items():
        assert warm[what] == value, what
    assert found["modules"] > 100  # uvicorn and what it needs, at the least
    assert project.unsafe.keys() <= roots
    return project.unsafe


@pytest.mark.parametrize("name", PACKAGES)
def test_the_app_finds_the_same(name: str, tmp_path: Path) -> None:
    left = check(name, tmp_path)
    assert {root: why.rpartition(", which ")[2] for root, why in left.items()} == LEFT.get(name, {})


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", ["fastapi", "pandas", "django", "logging"])
def test_another_python_finds_the_same(version: str, name: str, tmp_path: Path) -> None:
    python = environment(version) / "bin" / "python"
    needed = "fastapi, httpx, pandas, django, sqlalchemy, requests"
    if version == running() or not python.exists():
        pytest.skip(f"no Python {version} here")
    if subprocess.run([str(python), "-c", f"import {needed}"], check=False, stderr=-3).returncode:
        pytest.skip(f"the packages are not installed for Python {version}")
    check(name, tmp_path, python=str(python))


def test_what_is_looked_at_can_differ(tmp_path: Path) -> None:
    """Each import of one's own shows in what the table compares."""
    project = Project(tmp_path, f"import random\nrandom.seed(1)\n{LOOK}")
    before = json.loads(project.run())
    code = "import random, sys, logging, warnings, threading, mimetypes, signal, os\n"
    code += "random.seed(2)\nimport colorsys\nlogging.getLogger('new')\n"
    code += "warnings.simplefilter('ignore')\nmimetypes.add_type('a/b', '.abc')\nimport xml.dom\n"
    code += (
        "signal.signal(signal.SIGUSR1, print)\nos.environ['NEW'] = '1'\nopen_ = open(__file__)\n"
    )
    project.write_app(code + LOOK)
    after = json.loads(project.run())
    different = {what for what, value in before.items() if after[what] != value}
    expected = "modules submodules filters signals loggers random files environ types"
    assert {*expected.split()} <= different

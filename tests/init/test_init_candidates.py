"""Finding the apps of a project by reading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devlaunch.init.candidates import find_candidates
from devlaunch.init.project import directory_in_image, pycharm_module

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


def lay_out(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def targets(root: Path, app_dir: str = "") -> list[str]:
    return [" ".join(candidate.words) for candidate in find_candidates(str(root), app_dir)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (FASTAPI, ["main:app"]),
        ("import fastapi\napp = fastapi.FastAPI(title='x')", ["main:app"]),
        ("import fastapi as f\nsite: f.FastAPI = f.FastAPI()", ["main:site"]),
        ("from fastapi import FastAPI as F\nx = y = F()", ["main:x", "main:y"]),
        ("from flask import Flask\napi = Flask(__name__)", ["main:api"]),
        ("import falcon.asgi\napp = falcon.asgi.App()", ["main:app"]),
        ("try:\n  from quart import Quart\nexcept ImportError:\n  pass\n"
         "if True:\n  app = Quart(__name__)", ["main:app"]),
        ("async def app(scope, receive, send): ...", ["main:app"]),
        ("def application(environ, start_response): ...", ["main:application"]),
        ("from django.core.wsgi import get_wsgi_application as g\napplication = g()",
         ["main:application"]),
        ("from flask import Flask\ndef create_app(config=None):\n  app = Flask('x')\n  return app",
         ["--factory main:create_app"]),
        ("def make():\n  from flask import Flask\n  return Flask('x')", ["--factory main:make"]),
        ("from flask import Flask\ndef create_app(config):\n  return Flask('x')", []),
        ("from flask import Flask\ndef create_app(*, config):\n  return Flask('x')", []),
        ("from flask import Flask\ndef helper():\n  Flask('x')\n  return 1", []),
        ("from flask import Flask\n_app = Flask('x')", []),
        ("from flask import Flask\nclass A:\n  app = Flask('x')", []),
        ("class FastAPI: ...\napp = FastAPI()", []),
        ("# fastapi\nthis is no Python", []),
        ("raise SystemExit('it was imported')\n" + FASTAPI, ["main:app"]),
    ],
)  # fmt: skip
def test_what_is_an_app(tmp_path: Path, source: str, expected: list[str]) -> None:
    lay_out(tmp_path, {"main.py": source})
    assert targets(tmp_path) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app/__init__.py": "", "app/main.py": FASTAPI}, ["app.main:app"]),
        ({"app/main.py": FASTAPI}, ["app.main:app"]),
        ({"app/__init__.py": FASTAPI}, ["app:app"]),
        ({"src/shop/__init__.py": "", "src/shop/web.py": FASTAPI}, ["--app-dir src shop.web:app"]),
        ({"src/main.py": FASTAPI}, ["--app-dir src main:app"]),
        ({"backend/app/main.py": "from app import db\n" + FASTAPI, "backend/app/db.py": ""},
         ["--app-dir backend app.main:app"]),
        ({"service/main.py": "import settings\n" + FASTAPI, "service/settings.py": ""},
         ["--app-dir service main:app"]),
        ({"a-b/main.py": FASTAPI, "main-2.py": FASTAPI}, []),
        ({".venv/lib/main.py": FASTAPI, "node_modules/a/main.py": FASTAPI}, []),
        ({"env/pyvenv.cfg": "", "env/lib/main.py": FASTAPI}, []),
        ({"tests/app.py": FASTAPI, "web/api/site.py": FASTAPI},
         ["web.api.site:app", "tests.app:app"]),
        ({"worker.py": FASTAPI, "main.py": FASTAPI, "sub/main.py": FASTAPI},
         ["main:app", "sub.main:app", "worker:app"]),
        ({"admin.py": FASTAPI.replace("app", "admin"), "app/main.py": FASTAPI},
         ["app.main:app", "admin:admin"]),
        ({"main.py": "from flask import Flask\ndef create_app():\n  return Flask('x')\n",
          "deep/down/x.py": FASTAPI}, ["deep.down.x:app", "--factory main:create_app"]),
        ({"manage.py": "import django", "shop/wsgi.py":
          "from django.core.wsgi import get_wsgi_application\n"
          "application = get_wsgi_application()"},
         ["-- python manage.py runserver", "shop.wsgi:application"]),
    ],
)  # fmt: skip
def test_where_it_is_imported_from(
    tmp_path: Path, files: dict[str, str], expected: list[str]
) -> None:
    lay_out(tmp_path, files)
    assert targets(tmp_path) == expected


def test_the_projects_settings_say_where_modules_are(tmp_path: Path) -> None:
    lay_out(tmp_path, {"lib/web/main.py": FASTAPI})
    assert targets(tmp_path, str(tmp_path / "lib")) == ["web.main:app"]


def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    lay_out(tmp_path, {"main.py": FASTAPI})
    (tmp_path / "latin.py").write_bytes(b"# fastapi \xff\n")
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    assert targets(tmp_path) == ["main:app"]


@pytest.mark.parametrize(
    ("files", "directory"),
    [
        ({}, "/app"),
        ({"Dockerfile": "FROM a\n"}, "/app"),
        ({"Dockerfile": "FROM a\nWORKDIR /one\nFROM b\nworkdir /srv/x/\n"}, "/srv/x"),
        ({"docker/Dockerfile": "WORKDIR /\n"}, "/"),
    ],
)
def test_the_directory_in_the_image(tmp_path: Path, files: dict[str, str], directory: str) -> None:
    lay_out(tmp_path, files)
    assert directory_in_image(str(tmp_path)) == directory


def test_the_module_of_a_pycharm_project(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    assert pycharm_module(str(root)) == "shop"
    lay_out(root, {".idea/other.iml": "<module/>"})
    assert pycharm_module(str(root)) == "other"

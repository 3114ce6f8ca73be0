"""Every form of target, on the interpreters of this machine, with the real launcher."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.interpreters import interpreters, running
from support.launch import asgi_app, free_port, launched, save
from support.wait import wait_until

WORKER = Path(__file__).parents[2] / "docs" / "examples" / "worker" / "worker.py"
OTHERS = {version: path for version, path in interpreters().items() if version != running()}
PYTHONS = pytest.mark.parametrize("python", OTHERS.values(), ids=OTHERS)

WSGI = """\
import sys
VERSION = {version!r}

def app(environ, start_response):
    answer = VERSION + " %d.%d" % sys.version_info[:2]
    start_response("200 OK", [])
    return [answer.encode()]
"""
HANDLER_LINE = 6


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as response:
        return response.read().decode()


def wait_fetched(port: int, wanted: str, launch: object) -> None:
    def fetched() -> bool:
        # The program's own server may be ended by SIGTERM in the middle of an answer.
        with contextlib.suppress(OSError, http.client.HTTPException):
            return fetch(port) == wanted
        return False

    wait_until(fetched, 20, lambda: f"{wanted!r} from port {port}; printed:\n{launch.text}")


def output(*words: str, cwd: Path, python: str = sys.executable, **env: str) -> tuple[int, str]:
    """The status and all that was printed of a devlaunch that ends by itself."""
    with launched(*words, cwd=cwd, python=python, env=env) as launch:
        return launch.wait_ended(), launch.text


# --- scripts, modules and commands --------------------------------------------------------------


def test_a_script_runs_ends_and_runs_again(tmp_path: Path) -> None:
    # One write: print() makes one of each word, and a line of ours may come in between.
    source = "import sys, other\nsys.stdout.write(f'{__name__} {sys.argv} {other.VALUE}\\n')\n"
    (tmp_path / "other.py").write_text("VALUE = 1\n")
    (tmp_path / "job.py").write_text(source)
    with launched("job.py", "--queue", "mail", "-v", "x:y", cwd=tmp_path) as launch:
        launch.wait_for(r"__main__ \['job\.py', '--queue', 'mail', '-v', 'x:y'\] 1\n")
        launch.wait_for(r"finished +waiting for a change")
        launch.save("VALUE = 2\n", "other.py")
        launch.wait_for(r"'x:y'\] 2\n")
        launch.wait_for(r"finished(?s:.*)finished")
        launch.save(source + "sys.exit(7)\n", "job.py")
        launch.wait_for(r"exited \(status 7\) +waiting for a change")
        launch.save(source + "raise ValueError('bad')\n", "job.py")
        launch.wait_for(r"broken +job\.py:3 +ValueError: bad")
        assert launch.process.poll() is None
    assert launch.text.count("Traceback (most recent call last):\n  File") == 1
    assert re.search(r'call last\):\n  File "\S+/job.py", line 3, in <module>\n', launch.text)


def test_no_reload_ends_with_the_program(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import sys\nsys.exit(len(sys.argv))\n")
    status, text = output("--no-reload", "job.py", "a", "b", cwd=tmp_path)
    assert (status, "watching" in text) == (3, False)
    (tmp_path / "job.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    assert output("--no-reload", "job.py", cwd=tmp_path)[0] == 128 + 9


def test_no_reload_of_an_app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with launched("--no-reload", "--port", "0", "app:app", cwd=tmp_path) as launch:
        launch.wait_served(f"v0 {running()}")
        launch.save("broken(")
        # A request later nothing has happened; the descriptors show that nothing is watched.
        assert launch.get() == f"v0 {running()}"
        links = [os.readlink(link) for link in Path(f"/proc/{launch.pid}/fd").iterdir()]
        assert links
        assert not [link for link in links if "inotify" in link]
    assert "broken" not in launch.text


def test_the_worker_example_shuts_down_warmly(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER.read_text())
    with launched("worker.py", "--rate", "50", cwd=tmp_path) as launch:
        launch.wait_for("job 3: 9")
        launch.save(WORKER.read_text().replace("job**2", "job**3"), "worker.py")
        launch.wait_for("job 3: 27")
        before, _, after = launch.text.partition("worker: warm shutdown")
        assert "job 3: 9" in before
        assert "**" not in before
        assert after.startswith("\n")
    assert launch.text.count("worker: warm shutdown") == 2


FORMS = {
    "module": ("-m", "pkg.mod", "arg"),
    "package": ("-m", "pkg", "arg"),
    "python script": ("--", "python", "pkg/mod.py", "arg"),
    "python -m": ("--", "python", "-m", "pkg.mod", "arg"),
    "python -c": ("--", "python", "-c", "import pkg.mod as m; m.main()", "arg"),
}


@pytest.mark.parametrize("form", FORMS)
def test_modules_and_python_commands(tmp_path: Path, form: str) -> None:
    source = (
        "import sys, helper\n"
        "def main(): print(f'runs {helper.VALUE} {sys.argv[1:]}\\n', end='', flush=True); "
        "import time; time.sleep(60)\n"
        "if __name__ == '__main__': main()\n"
    )
    package = tmp_path / "pkg"
    package.mkdir()
    for name in ("mod.py", "__main__.py"):
        (package / name).write_text(source)
    (package / "__init__.py").touch()
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    with launched(*FORMS[form], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}) as launch:
        launch.wait_for(r"runs 1 \['arg'\]")
        launch.save("VALUE = 2\n", "helper.py")
        launch.wait_for(r"runs 2 \['arg'\]")
        changed = "__main__.py" if form == "package" else "mod.py"
        save(package / changed, source.replace("runs", "runs anew"))
        launch.wait_for(r"runs anew 2 \['arg'\]")


FLASK = """\
from flask import Flask
app = Flask(__name__)
@app.get("/")
def root(): return {version!r}
"""
DJANGO = """\
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
urlpatterns = [path("", lambda request: HttpResponse({version!r}))]
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
UVICORN_RUN = """
if __name__ == "__main__":
    import sys, uvicorn
    uvicorn.run("app:app", reload=True, port=int(sys.argv[1]), log_level="warning")
"""
NESTED = {
    "uvicorn": (
        asgi_app,
        lambda port: ("--", "uvicorn", "app:app", "--reload", "--port", port),
    ),
    "uvicorn.run": (
        lambda version: asgi_app(version) + UVICORN_RUN,
        lambda port: ("app.py", port),
    ),
    "werkzeug": (
        lambda version: FLASK.format(version=version),
        lambda port: ("--", "flask", "--app", "app", "run", "--debug", "--port", port),
    ),
    "Django": (
        lambda version: DJANGO.format(version=version),
        lambda port: ("--", "python", "app.py", "runserver", f"127.0.0.1:{port}"),
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_reloader_is_switched_off(tmp_path: Path, name: str) -> None:
    if name == "Django":
        pytest.importorskip("django")
    source, words = NESTED[name]
    port = free_port()
    (tmp_path / "app.py").write_text(source("v0"))
    with launched(*words(str(port)), cwd=tmp_path) as launch:
        wait_fetched(port, "v0", launch)
        launch.save(source("v1"))
        wait_fetched(port, "v1", launch)
        line = f"the reloader of {name.partition('.')[0]} is switched off"
        assert launch.text.count(line) == 1
    assert "Traceback" not in launch.text


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    for words, message in {
        ("--", "no-such-command"): r"no-such-command: no such command",
        ("--", "sh", "-c", "true"): r"sh: \S+ is no Python program",
        ("-m", "no_such_module"): r"-m no_such_module: No module named '?no_such_module'?",
    }.items():
        status, text = output(*words, cwd=tmp_path)
        assert status == 2, text
        assert re.search(message, text)
        assert "Traceback" not in text


# --- apps that cannot be served as asked for ----------------------------------------------------


def test_an_attribute_that_is_no_app_ends_the_first_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(asgi_app("v0") + "settings = {}\n")
    for target, message in {
        "app:settings": "app:settings is a dict, which is neither an ASGI nor a WSGI app",
        "app:aplication": "module app has no attribute 'aplication'",
        "ap:app": "no module named 'ap' in",
    }.items():
        status, text = output("--port", "0", target, cwd=tmp_path)
        assert (status, text.count(message)) == (2, 1), text
        assert "Traceback" not in text
        assert "waiting for a change" not in text
    assert "did you mean app:app?" in output("--port", "0", "app:aplication", cwd=tmp_path)[1]


def test_a_port_in_use_names_its_holder(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(asgi_app("v0"))
    with launched("--port", "0", "app:app", cwd=tmp_path) as launch:
        launch.wait_served("v0")
        port = launch.url.rpartition(":")[2]
        status, text = output("--port", port, "app:app", cwd=tmp_path)
        assert status == 1
        assert f"127.0.0.1:{port} is in use by" in text
        assert re.search(rf"\(pid {launch.pid}\)", text)
        assert "choose another: --port" in text


# --- interpreters -------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A virtual environment with nothing in it, as the project's `.venv`."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / ".venv")]
    subprocess.run(command, check=True)
    return tmp_path / ".venv" / "bin" / "python"


def test_a_server_that_is_not_installed(tmp_path: Path, bare: Path) -> None:
    (tmp_path / "app.py").write_text(asgi_app("v0"))
    for server in ("uvicorn", "hypercorn"):
        words = ("--python", str(bare), "--server", server, "--port", "0", "app:app")
        status, text = output(*words, cwd=tmp_path)
        assert status == 2
        assert f"{server} is not installed for {bare}" in text
        assert f"{bare} -m pip install {server}" in text
        assert "Traceback" not in text


def test_the_environment_of_the_project_is_chosen(tmp_path: Path, bare: Path) -> None:
    (tmp_path / "job.py").write_text("import sys; print(f'prefix {sys.prefix}\\n', end='')\n")
    with launched("job.py", cwd=tmp_path) as launch:
        launch.wait_for(f"prefix {re.escape(str(bare.parents[1]))}\n")
        assert re.search(r"app +job\.py +\.venv\n", launch.text)
    # The active one wins over it, and devlaunch's own when it is the active one.
    with launched("job.py", cwd=tmp_path, env={"VIRTUAL_ENV": sys.prefix}) as launch:
        launch.wait_for(f"prefix {re.escape(sys.prefix)}\n")


def test_options_of_the_interpreter_reach_the_child(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "print('flags', sys.flags.dev_mode, sys.flags.optimize, sys.warnoptions[-1:], __debug__)\n"
    )
    command = ("-X", "dev", "-W", "error", "-O", "-m", "devlaunch")
    with launched("job.py", cwd=tmp_path, command=command) as launch:
        launch.wait_for(r"flags True 1 \['error'\] False")
        launch.wait_for("finished")
    assert "Warning" not in launch.text


@PYTHONS
def test_other_interpreters_run_apps_and_scripts(tmp_path: Path, python: str) -> None:
    """Bare ones: WSGI on the standard library's server, with the launcher's debugpy."""
    version = next(version for version, path in OTHERS.items() if path == python)
    app = tmp_path / "app.py"
    app.write_text(WSGI.format(version="v0"))
    debug = ("--debug-attach", "--debug-address", "127.0.0.1:0")
    words = ("--python", python, *debug, "--server", "wsgiref", "--port", "0", "app:app")
    with launched(*words, cwd=tmp_path) as launch:
        launch.wait_served(f"v0 {version}")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            ide.attach(breakpoints={str(app): [HANDLER_LINE]}, justMyCode=True)
            ide.wait_event("breakpoint", lambda body: body["breakpoint"]["verified"])
            for number in range(2):
                if number:
                    launch.save(WSGI.format(version=f"v{number}"))
                launch.wait_for("reloaded in" if number else "ready in")
                with ThreadPoolExecutor(1) as pool:
                    answer = pool.submit(launch.get)
                    stopped = ide.wait_event("stopped", timeout=20)
                    assert ide.stop_lines(stopped)[0] == ("app", HANDLER_LINE)
                    ide.continue_(stopped["threadId"])
                    assert answer.result(20) == f"v{number} {version}"
    assert "could not connect" not in launch.text
    (tmp_path / "job.py").write_text("import sys; print('runs on %d.%d' % sys.version_info[:2])\n")
    status, text = output("--no-reload", "--python", python, "job.py", cwd=tmp_path)
    # print() writes the end of the line apart: a line of ours may come in between.
    assert (status, f"runs on {version}" in text) == (0, True), text


def test_bad_interpreters(tmp_path: Path) -> None:
    (tmp_path / "job.py").touch()
    for python, message in {"/bin/true": "is no Python", "/no/python": "cannot be run"}.items():
        status, text = output("--python", python, "job.py", cwd=tmp_path)
        assert (status, message in text, "Traceback" in text) == (2, True, False), text


# --- from a program -----------------------------------------------------------------------------

RUN = """
import devlaunch
if __name__ == "__main__":
    raise SystemExit(devlaunch.run("app:app", port=0{options}))
"""


def test_run_from_the_module_that_holds_the_app(tmp_path: Path) -> None:
    run = RUN.format(options=", grace=1.5")
    (tmp_path / "app.py").write_text(asgi_app("v0") + run)
    with launched(cwd=tmp_path, command=("app.py",)) as launch:
        launch.wait_served("v0")
        launch.save(asgi_app("v1") + run)
        launch.wait_served("v1")
        launch.process.send_signal(signal.SIGINT)
        assert launch.wait_ended() == 0
    assert launch.text.count("watching") == 1


def test_run_without_the_main_guard(tmp_path: Path) -> None:
    call = "import devlaunch\nprint('returned', devlaunch.run('app:app', port=0))\n"
    (tmp_path / "app.py").write_text(asgi_app("v0") + call)
    with launched(cwd=tmp_path, command=("app.py",)) as launch:
        launch.wait_for("devlaunch.run\\(\\) was called by the app that devlaunch runs")
        launch.wait_for('put the call under `if __name__ == "__main__":`')
        launch.process.send_signal(signal.SIGINT)
        launch.wait_ended()
    assert launch.text.count("was called by the app") == 1
    assert launch.text.count("watching") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [(", prot=1", "did you mean port"), (", grace='soon'", "grace: expected .*not 'soon'")],
)
def test_run_with_wrong_options(tmp_path: Path, options: str, message: str) -> None:
    (tmp_path / "app.py").write_text(asgi_app("v0") + RUN.format(options=options))
    with launched(cwd=tmp_path, command=("app.py",)) as launch:
        assert launch.wait_ended() == 2
    assert re.search(message, launch.text)
    assert "Traceback" not in launch.text


def test_run_in_a_thread_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import devlaunch, threading\n"
        "thread = threading.Thread(target=lambda: print('status', devlaunch.run('job.py')))\n"
        "thread.start(); thread.join()\n"
    )
    with launched(cwd=tmp_path, command=("job.py",)) as launch:
        launch.wait_ended()
    assert "devlaunch has to run in the main thread" in launch.text
    assert "status 2" in launch.text


# --- settings, end to end -----------------------------------------------------------------------


def test_saves_are_seen_by_polling(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    words = ("--poll", "0.05", "--server", "wsgiref", "--port", "0", "app:app")
    with launched(*words, cwd=tmp_path) as launch:
        launch.wait_served(f"v0 {running()}")
        links = [os.readlink(link) for link in Path(f"/proc/{launch.pid}/fd").iterdir()]
        assert not [link for link in links if "inotify" in link]
        for number in range(1, 4):
            launch.save(WSGI.format(version=f"v{number}"))
            launch.wait_served(f"v{number} {running()}")


def test_a_changed_env_file_restarts_with_its_values(tmp_path: Path) -> None:
    (tmp_path / "dev.env").write_text("GREETING=hello\nOUTER=file\n")
    app = (
        "import os\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [os.environ['GREETING'].encode(), b' ', os.environ['OUTER'].encode()]\n"
    )
    (tmp_path / "app.py").write_text(app)
    words = ("--env-file", "dev.env", "--server", "wsgiref", "--port", "0", "app:app")
    with launched(*words, cwd=tmp_path, env={"OUTER": "outside"}) as launch:
        launch.wait_served("hello outside")
        launch.save("GREETING=changed\n", "dev.env")
        launch.wait_served("changed outside")
        launch.save("GREETING\n", "dev.env")
        launch.wait_for(r"^\S+  not taken +\S*dev\.env:1: there is no KEY=")
        launch.save(app + "# restarted\n")
        launch.wait_for(r"reloaded in .* app\.py")
        launch.wait_served("changed outside")
        assert launch.text.count("dev.env\n") == 1, "no reload for the broken edit"
        assert launch.text.count("there is no KEY=") == 1, "nor is it told at each other reload"
        launch.save("GREETING \n", "dev.env")
        wait_until(lambda: launch.text.count("there is no KEY=") == 2)
        launch.save("GREETING='mended'\n", "dev.env")
        launch.wait_served("mended outside")


def test_what_holds_up_the_end_is_said(tmp_path: Path) -> None:
    text = (
        "import signal, sys, threading, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
        "threading.Thread(target=time.sleep, args=(600,), name='feeder').start()\n"
        "print('runs', flush=True)\n"
        "while True: time.sleep(0.01)\n"
    )
    (tmp_path / "job.py").write_text(text)
    with launched("--grace", "1", "job.py", cwd=tmp_path) as launch:
        launch.wait_for("^  started in .*\n")
        launch.wait_for("^runs")
        launch.save(text + "# again\n", "job.py")
        launch.wait_for(r"restarted in \d\.\d+ s +job\.py")
        assert "the end of the app waits for its thread feeder (no daemon)" in launch.text
        assert "the app did not end within 1.00 s (--grace): it is made to" in launch.text


def test_settings_from_pyproject_and_environment(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "web.py").write_text(WSGI.format(version="v0"))
    (tmp_path / "pyproject.toml").write_text(
        '[tool.devlaunch]\ntarget = "web:app"\napp-dir = "src"\nserver = "wsgiref"\nport = 1\n'
        'watch = ["data"]\n'
    )
    (tmp_path / "data").mkdir()
    with launched(cwd=tmp_path / "src", env={"DEVLAUNCH_PORT": "0"}) as launch:
        launch.wait_served(f"v0 {running()}")
        launch.wait_for("ready in .* wsgi, wsgiref")
        save(tmp_path / "src" / "web.py", WSGI.format(version="v1"))
        launch.wait_served(f"v1 {running()}")
        (tmp_path / "data" / "new.txt").write_text("x")
        launch.wait_for(r"reloaded in .*data/new\.txt")
    (tmp_path / "pyproject.toml").write_text('[tool.devlaunch]\ntarget = "web:app"\nprot = 1\n')
    status, text = output(cwd=tmp_path)
    assert (status, "pyproject.toml:3: prot: there is no such key" in text) == (2, True), text
    assert "did you mean port?" in text


def test_an_ipv6_address(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    (tmp_path / "app.py").write_text(WSGI.format(version="v0"))
    with launched("--host", "::1", "--port", "0", "app:app", cwd=tmp_path) as launch:
        launch.wait_for(r"http://\[::1\]:\d+")
        launch.wait_served(f"v0 {running()}")


def test_an_interpreter_that_is_away_for_a_moment_is_waited_for(tmp_path: Path, bare: Path) -> None:
    (tmp_path / "job.py").write_text("print('one', flush=True)\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{bare}" "$@"\n')
    python.chmod(0o755)
    with launched("--python", str(python), "job.py", cwd=tmp_path) as launch:
        launch.wait_for("one")
        python.rename(tmp_path / "away")
        launch.save("print('two', flush=True)\n", "job.py")
        launch.wait_for(r"broken +no such program: .*python")
        (tmp_path / "away").rename(python)
        launch.save("print('three', flush=True)\n", "job.py")
        launch.wait_for("three")


def test_run_leaves_the_caller_its_signals(tmp_path: Path) -> None:
    """Only those end the run that devlaunch catches: not the caller's timer and SIGUSR1."""
    (tmp_path / "job.py").write_text("print('runs', flush=True)\nimport time; time.sleep(60)\n")
    (tmp_path / "main.py").write_text(
        "import devlaunch, signal, sys\n"
        "for name in ('SIGALRM', 'SIGUSR1'):\n"
        "    signal.signal(getattr(signal, name), lambda n, _: print('got', n, flush=True))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)\n"
        "sys.exit(devlaunch.run('job.py'))\n"
    )
    with launched(cwd=tmp_path, command=("main.py",)) as launch:
        launch.wait_for("^runs")
        after = len(launch.text)
        launch.process.send_signal(signal.SIGUSR1)
        for signum in (signal.SIGUSR1, signal.SIGALRM):
            launch.wait_for(f"got {signum:d}$", after=after)
        launch.wait_for(f"got {signal.SIGALRM:d}$", after=len(launch.text))
        assert "stopping" not in launch.text
        launch.close()

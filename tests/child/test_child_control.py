"""The control channel: what is reported, the launcher's death, forks; and stale bytecode."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from support.child import MAIN, Child
from support.interpreters import interpreters
from support.wait import wait_until

from devlaunch.child.descriptors import inherited

PYTHONS = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    __import__(environ["PATH_INFO"][1:])
    return [b"ok"]
"""


@PYTHONS
def test_modules_are_reported_as_they_come(tmp_path: Path, python: str) -> None:
    (tmp_path / "app.py").write_text(f"import json, models\n{WSGI}")
    (tmp_path / "models.py").write_text("")
    (tmp_path / "late.py").write_text("")
    start = {"server": "wsgiref", "python": python}
    with Child(app="app:app", directory=tmp_path, **start) as child:
        child.wait_for("serving")
        before = {str(tmp_path / "app.py"), str(tmp_path / "models.py")}
        assert child.files == before
        assert child.messages[-1]["type"] == "serving"
        child.get("/late")
        wait_until(lambda: child.files == {*before, str(tmp_path / "late.py")}, what="late.py")


def test_a_lazy_module_is_not_loaded_by_looking_at_it(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("print('loaded', flush=True)\n")
    (tmp_path / "odd.py").write_text(
        "def __getattr__(name): print('asked', name, flush=True); raise AttributeError"
    )
    (tmp_path / "job.py").write_text(
        "import importlib.util as u, sys, time, odd\n"
        "spec = u.find_spec('lazy'); spec.loader = u.LazyLoader(spec.loader)\n"
        "module = u.module_from_spec(spec); sys.modules['lazy'] = module\n"
        "spec.loader.exec_module(module)\n"
        "class Odd:\n    def __getattr__(self, name): print('asked', name, flush=True)\n"
        "sys.modules['other'] = Odd()\nsys.modules['none'] = None\n"
        "print('now', flush=True); import late; getattr(module, 'x', 1); time.sleep(60)\n"
    )
    (tmp_path / "late.py").write_text("")
    with Child(script="job.py", directory=tmp_path) as child:
        wait_until(lambda: str(tmp_path / "late.py") in child.files, what="late.py is reported")
        wait_until(lambda: "loaded" in child.stdout, what="it is loaded when it is used")
        assert child.stdout == "now\nloaded\n"
        names = {os.path.basename(path) for path in child.files}
        assert names >= {"odd.py", "lazy.py"}


RUNS = {
    "away.py": "import os; code = compile(open('{0}').read(), '{0}', 'exec'); "
    "os.rename('{0}', 'kept'); exec(code); os.rename('kept', '{0}'); exec(code)",
    "site.cfg": "exec(compile(open('{0}', 'rb').read(), '{0}', 'exec'), {{}})",
    "settings": "exec(compile(open('{0}', encoding='utf-8').read(), '{0}', 'exec'), {{}})",
    "ran.py": "import runpy; runpy.run_path('{0}')",
    "plugin.py": "import importlib.util as u; s = u.spec_from_file_location('a', '{0}')\n"
    "s.loader.exec_module(u.module_from_spec(s))",
    "itself.py": "import itself",
    "gone.py": "try: import gone\nexcept KeyError: pass",
    "sub/relative.py": "import os; os.chdir('sub'); exec(compile('', 'relative.py', 'exec'))",
    "src/linked/__init__.py": "import linked",
    "broken.cfg": "try: compile(open('{0}').read(), '{0}', 'exec')\nexcept SyntaxError: pass",
}
"""What runs, and how: a program of these lines has each of them reported."""
RUNS_NOT = {
    "page.html": "exec(compile('translated = 1', '{0}', 'exec'))",
    "lib/site-packages/library.py": "import library",
    "deep.py": "compile(open('{0}').read(), '{0}', 'exec')",
    "untrue.py": "exec(compile('', '/nowhere/{0}', 'exec')); exec(compile('', '<{0}>', 'exec'))",
}


@PYTHONS
def test_what_runs_is_reported_however_it_came_to_run(tmp_path: Path, python: str) -> None:
    texts = {
        "settings": "X = 'ü'\n",
        "itself.py": "import sys; sys.modules[__name__] = object()",
        "gone.py": "import sys; del sys.modules['gone']",
        "broken.cfg": "x = (",
    }
    for name in (*RUNS, *RUNS_NOT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(texts.get(name, "X = 1\n"), encoding="utf-8")
    packages = tmp_path / "lib" / "site-packages"
    (packages / "linked").symlink_to(tmp_path / "src" / "linked")  # as flit install --symlink
    lines = [line.format(name) for name, line in {**RUNS_NOT, **RUNS}.items()]
    # What changes the directory comes last.
    (tmp_path / "job.py").write_text("\n".join(sorted(lines, key=lambda line: "chdir" in line)))
    env = {"PYTHONPATH": str(packages)}
    with Child(script="job.py", directory=tmp_path, python=python, env=env) as child:
        assert child.wait() == 0, child.stderr
    written = [path for path in child.files if path.startswith("wrote:")]
    assert written == [f"wrote:{tmp_path / 'away.py'}"]
    found = {os.path.realpath(path) for path in set(child.files) - set(written)}
    assert {os.path.relpath(path, tmp_path) for path in found} == {"job.py", *RUNS}


@PYTHONS
@pytest.mark.parametrize("kind", ["app", "script", "stubborn"])
def test_the_child_ends_when_the_launcher_is_gone(tmp_path: Path, python: str, kind: str) -> None:
    (tmp_path / "app.py").write_text(WSGI)
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    (tmp_path / "job.py").write_text(
        f"{ignore if kind == 'stubborn' else ''}"
        "import time\nprint('on', flush=True)\ntime.sleep(60)\n"
    )
    target = {"app": "app:app", "server": "wsgiref"} if kind == "app" else {"script": "job.py"}
    with Child(**target, directory=tmp_path, python=python) as child:
        child.wait_for("serving")
        if kind != "app":
            wait_until(lambda: "on" in child.stdout, what="running")
        child.hang_up()
        status = child.wait()
        assert status == {"app": 0, "script": -signal.SIGTERM, "stubborn": 1}[kind]
    assert child.stderr == ""


def test_a_stop_while_the_app_is_still_imported(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    with Child(app="app:app", directory=tmp_path) as child:
        wait_until(lambda: "on" in child.stdout, what="importing")
        child.send("stop", grace=2.0)
        assert child.wait(5) == -signal.SIGTERM


@PYTHONS
def test_forks_and_their_programs_do_not_hold_the_channel(tmp_path: Path, python: str) -> None:
    (tmp_path / "job.py").write_text(
        "import os, subprocess, sys\n"
        'code = \'import os; print(sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket")\'\n'
        "code += ' for fd in os.listdir(\"/proc/self/fd\")'\n"
        "code += ' if os.path.exists(f\"/proc/self/fd/{fd}\")))'\n"
        "subprocess.run([sys.executable, '-c', code], close_fds=False)\n"
        "sys.stdout.flush()\n"
        "pid = os.fork()\n"
        "if pid == 0: raise ValueError('in the fork')\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    with Child(script="job.py", directory=tmp_path, python=python) as child:
        assert child.wait() == 0
    assert child.stdout.split() == ["0", "1"]
    assert child.stderr.count("ValueError: in the fork") == 1
    assert not child.all("failed")


FORKING = """\
import os, subprocess, threading, time, warnings

filters = len(warnings.filters)
for each in threading.enumerate():
    if each is not threading.main_thread():
        each.join()
print(len(threading._active), flush=True)

def run(fork):
    pid = fork()
    if pid == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for fork in [os.fork] * 20:
    run(fork)
for _ in range(3):
    subprocess.run(["true"], preexec_fn=lambda: None)
os.fork() or os._exit(0)
assert len(warnings.filters) <= filters
print(run(lambda: os.forkpty()[0]), run(lambda: os.fork() or os._exit(run(os.fork))), flush=True)
import late
time.sleep(60)
"""


@PYTHONS
def test_a_program_has_no_thread_that_it_does_not_start(tmp_path: Path, python: str) -> None:
    """Who joins all others comes to an end, and CPython 3.12 does not warn of a fork."""
    (tmp_path / "late.py").write_text("")
    (tmp_path / "job.py").write_text(FORKING)
    run = {"directory": tmp_path, "python": python, "options": ("-W", "always")}
    with Child(script="job.py", **run) as child:
        wait_until(lambda: str(tmp_path / "late.py") in child.files, what="late.py is reported")
        child.send("stop", grace=2.0)
        assert child.wait() == -signal.SIGTERM
    assert child.stdout.split() == ["1", "7", "7"]
    assert child.stderr == ""


CLOSING = """\
import os, time
os.closerange(3, 1024)
files = [open(f"out{n}", "x") for n in range(6)]
print(os.getpid(), flush=True)
import late
while True:
    time.sleep(0.01)
    for file in files:
        file.write("mine\\n")
        file.flush()
"""


@PYTHONS
def test_a_program_that_closes_what_it_has_inherited_lives_on(tmp_path: Path, python: str) -> None:
    """And what it opens has our numbers: nobody else writes to it, or closes it."""
    (tmp_path / "job.py").write_text(CLOSING)
    (tmp_path / "late.py").write_text("")
    last = tmp_path / "out5"
    with Child(script="job.py", directory=tmp_path, python=python) as child:
        wait_until(lambda: last.exists() and last.read_text(), what=lambda: child.stderr)
        lines = last.read_text().count("\n")
        wait_until(lambda: last.read_text().count("\n") > lines + 60, what="0.6 s, thus two looks")
        child.process.terminate()
        assert child.wait() == -signal.SIGTERM
    assert {path.read_text().replace("mine\n", "") for path in tmp_path.glob("out?")} == {""}
    assert child.stderr == ""


ORPHANING = f"""\
import json, os, socket, subprocess, sys, time
ours, theirs = socket.socketpair()
child = [sys.executable, {str(MAIN)!r}, str(theirs.fileno())]
subprocess.Popen(child, pass_fds=[theirs.fileno()])
target = {{"kind": "script", "name": "job.py", "args": []}}
start = {{"type": "start", "target": target, "changed": [], "debug": None}}
ours.sendall(json.dumps(start).encode() + b"\\n")
while not os.path.exists("out5"):
    time.sleep(0.01)
os._exit(0)
"""


def test_the_channel_may_have_a_number_that_select_does_not_take() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 2048), limits[1]))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 1024)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        channel = inherited(fd)
        assert not channel.is_readable()
        ours.send(b"{}\n")
        assert channel.is_readable()
        assert channel.read() == b"{}\n"
        channel.close()


@PYTHONS
def test_it_ends_when_its_launcher_is_gone(tmp_path: Path, python: str) -> None:
    (tmp_path / "job.py").write_text(CLOSING)
    (tmp_path / "late.py").write_text("")
    # Read to the end of its output, which is its end.
    launcher = [python, "-c", ORPHANING]
    done = subprocess.run(launcher, cwd=tmp_path, capture_output=True, timeout=20, check=True)
    assert done.stdout
    assert not done.stderr


@PYTHONS
@pytest.mark.parametrize("options", [(), ("-O",)])
def test_bytecode_of_changed_files_is_not_reused(
    tmp_path: Path, python: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "value.py"
    path.write_text("print('one')")
    (tmp_path / "job.py").write_text("import value")
    writes = {"PYTHONDONTWRITEBYTECODE": ""}
    run = {"directory": tmp_path, "python": python, "options": options, "env": writes}
    with Child(script="job.py", **run) as child:
        assert child.wait() == 0
    assert child.stdout == "one\n"
    stamp = path.stat()
    path.write_text("print('two')")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with Child(script="job.py", **run) as child:
        child.wait()
    assert child.stdout == "one\n", "no stale bytecode to avoid: this test shows nothing"
    with Child(script="job.py", changed=[str(path), "/nowhere/x.py", "README"], **run) as child:
        child.wait()
    assert child.stdout == "two\n"


@PYTHONS
def test_nothing_of_ours_is_left_in_the_way(tmp_path: Path, python: str) -> None:
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "names = [n for n in sys.modules if 'devlaunch' in n]\n"
        "print([n for n in names if not n.startswith('_devlaunch_child')])\n"
        f"print([p for p in sys.path if p.startswith({os.path.dirname(MAIN)!r})])\n"
        "for name in ('control', 'modules', 'targets', 'requests', 'servers', 'devlaunch'):\n"
        "    try: print(name, __import__(name).__file__)\n"
        "    except ImportError: pass\n"
        "import traceback; traceback.print_stack(file=sys.stdout)\n"
    )
    with Child(script="job.py", directory=tmp_path, python=python) as child:
        assert child.wait() == 0
    first, second, *rest = child.stdout.splitlines()
    assert (first, second) == ("[]", "[]")
    assert not [line for line in rest if f"{os.sep}devlaunch{os.sep}child" in line]


def test_every_module_hides_its_frames() -> None:
    import devlaunch

    package = Path(devlaunch.__file__).parent / "child"
    apart = ("__main__.py", "sitecustomize.py")
    texts = {path: path.read_text() for path in package.rglob("*.py") if path.name not in apart}
    with_code = {path: text for path, text in texts.items() if "import" in text.split('"""')[2]}
    assert len(with_code) > 10
    for path, text in with_code.items():
        assert re.search(r"^ *hide\(__name__\)$", text, re.MULTILINE), f"{path} shows"

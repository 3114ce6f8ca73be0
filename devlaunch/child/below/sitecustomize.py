"""For each Python below the app, which finds this on its PYTHONPATH: has it report what it runs.

Nobody may notice, whatever goes wrong here: the program's own path and sitecustomize are what it
would have without us. Pythons as old as 2.7 read this, too.
"""

# mypy: ignore-errors
import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _here]
sys.path_importer_cache.pop(_here, None)
try:
    if sys.version_info >= (3, 8) and "DEVLAUNCH_REPORTS" in os.environ:
        import _imp

        _file = os.path.join(os.path.dirname(_here), "modules.py")
        # importlib.util takes longer to load than all of this.
        _code = type(__spec__.loader)("_devlaunch_modules", _file).get_code("_devlaunch_modules")
        _imp._fix_co_filename(_code, "<frozen _devlaunch_modules>")  # noqa: SLF001
        _names = {"__name__": "_devlaunch_modules", "__file__": _file, "__package__": ""}
        exec(_code, _names)
        _names["Reports"]().start()
except Exception:
    pass
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401  # `site` expects that there may be none

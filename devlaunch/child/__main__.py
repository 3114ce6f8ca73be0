"""Start of every child: `python [options] …/devlaunch/child/__main__.py FD`.

Loads the package by its location under a name that no module of the user's has, and hands over.
Nothing may follow the last statement: by then these globals are those of the user's `__main__`.
"""

from importlib.util import module_from_spec, spec_from_file_location
from os.path import abspath, dirname, join
from signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal
from sys import argv, modules

if getsignal(SIGINT) is default_int_handler:
    signal(SIGINT, SIG_DFL)  # a Ctrl-C before anything of the user's runs shows no traceback
HERE = dirname(abspath(__file__))
SPEC = spec_from_file_location("_devlaunch_child", join(HERE, "__init__.py"))
assert SPEC is not None
assert SPEC.loader is not None
modules[SPEC.name] = module_from_spec(SPEC)
SPEC.loader.exec_module(modules[SPEC.name])
modules[SPEC.name].main(*map(int, argv[1:]))

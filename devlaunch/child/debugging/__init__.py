"""How a child comes to its debugger: `debugger` for debugpy, `pycharm` for pydevd-pycharm.

`pauses` knows what the debugger holds, `mends` what debugpy gets wrong.
"""

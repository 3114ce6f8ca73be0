"""How a child comes to its debugger: `debugger` for debugpy, `pycharm` for pydevd-pycharm.

`pauses` knows what the debugger holds, `mends` what debugpy gets wrong. `bootstrap` imports this
room; without a debugger nothing of one is loaded.

Pauses are reported from where a thread is held (`PyDB.do_wait_suspend`): the states of threads
would take a Pause that has not come about for one.
"""

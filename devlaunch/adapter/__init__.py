"""`devlaunch adapter`: the debug adapter that an editor starts, and that starts devlaunch.

Begin with `server`, the connections around `dap.proxy`; `plan` makes a command of the arguments of
`launch`, whose table is `attributes`, and `starting` runs it. Only `cli` imports this room.
"""

"""The Debug Adapter Protocol: messages in, actions out. All but `sockets` is pure.

Begin with `keeper`: a `session` for each IDE, a `debuggee` for each process, the `roster` brings
them together, by an `endpoint` on each connection. `proxy` is the state of `devlaunch adapter`.
`debuggers` and `adapter` do what is decided here.
"""

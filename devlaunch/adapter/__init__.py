"""`devlaunch adapter`: the debug adapter that an editor starts, and that starts devlaunch.

A process of its own, so that the launcher stays what it is on the command line. Begin with
`server`; `attributes` is the one table of what `launch` takes, `plan` makes a command line of that,
`starting` runs it. `cli` imports this room, and `init` its attributes.

- *A launch is answered* by the keeper, when the app serves, stands at a breakpoint, or is broken in
  a way that a save may mend; whatever is wrong with the launch itself is its failed response. What
  is answered here is `initialize`; after that messages are passed on (`dap.proxy`).
- *The link.* The launcher comes back to the adapter (`debuggers.link`), and from then on that
  connection is one more front of the keeper. When it ends the run ends, politely, however the
  adapter died.
- *Output.* With `internalConsole`, the default, the app's stdout and stderr are pipes to the
  adapter: every editor can show that, and nothing of it depends on a shell. They are read before
  each message of the keeper is passed, so that a traceback stands before the line that refers to
  it, and to their end before `exited`. The launcher holds the read ends too: a shutdown hook may
  print when we have been killed.
- *Sessions.* On TCP each connection is one, several at a time: editors open one more for each
  process of the app, some at the address that they have. On stdio they start another adapter.
- *Disconnect* ends what was launched, and is answered when all has ended. `terminateDebuggee:
  false` leaves a run in a terminal alone; with the internal console nobody could see or stop it.
"""

"""The Debug Adapter Protocol: the keeper, a debug adapter without IO, and the bytes that reach it.

Messages go in, actions come out. The keeper has one front (the IDE) and at most one current
debuggee, plus grandchildren; it records what the IDE has configured, and replays it into each new
debuggee before any user code runs. Begin with `keeper`, then `session` (a connection of an IDE),
`debuggee` (one of a process) and `roster` (who sees whom); `proxy` is the state of `devlaunch
adapter`. All is pure but `sockets`. `debuggers` and `adapter` import this room, `run` its `events`.

- *Every request is answered exactly once*, also when its debuggee has just died: see `endpoint`.
- *The IDE sees one program that never ends.* A dying debuggee's `terminated` and `exited` never
  reach it; a stopped thread is told as continued and exited, so that no stale frame stays on the
  screen. Breakpoints keep their ids; after a replay events say what became verified or moved.
- *What pydevd cannot take*, an IDE may still send: see `acceptance`, and `child/debugging/patches`.
- *Without an IDE* nothing of the debugger is loaded into the app; the running child connects when
  one attaches.
- *Who waits for whom.* A child waits to be configured as long as its connection lasts: to give up
  on a debugger that is stuck is to close that. An IDE that has attached has some seconds to
  configure; one that has not is a person, who is waited for.
- *A change waits while the program is paused*, and during a step. A step that does not stop again
  ran off into code that is not the user's, and counts as continue.
"""

"""The pure core: no os, time, socket, threading or subprocess; time is an argument.

Begin with `supervisor`, the life of the app's process in one table; then `changes`, which decides
what of the touched files counts, and `standby`, when the next process is made ahead of time. It
imports the vocabulary only, and everybody but the child may import it. What is decided here is
tested pair by pair, without a process and without a clock.

- *Broken is a state under a debugger as well.* At an uncaught exception debuggers hold the process
  that it ends. The child knows that stop by its traceback (`child/tracebacks.ends_program`), and
  says why the app failed before it lets itself be held; the next change or Restart lets go of it
  (`PostMortem`), whatever `--while-paused` says, and it ends by itself, exit handlers included.
  While the app is being stopped such a stop is let go at once. All other stops are a person's: of
  the debugger's other filters (*raised*, *user uncaught*) nobody knows whether the app survives.
- *A breakpoint in a shutdown hook* stops the ladder's clock, unless the end of all is asked for.
- *A program that is no server is asked by SIGTERM* to stop, never by an exception: debuggers stop
  at SystemExit and KeyboardInterrupt raised in the user's frames.
- *The status after Ctrl-C is 130* where the app had to be killed, or was broken before: the status
  of what had failed is no answer to the wish to end.
"""

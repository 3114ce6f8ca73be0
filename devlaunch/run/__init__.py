"""One run of devlaunch: wires the pure cores to the IO around them.

Begin with `program`: changes go in, its supervisor decides, its processes obey; what comes of it is
posted to the loop, never handled in between. `launcher` is the host, which routes what happens to
the programs of the run; `first_child` is what there is of a program before it. Only the front
(`cli`, `api`) starts a run; nothing else imports this room.

- *Whom the app leaves behind* as its main process ends (workers, helpers in sessions of their own)
  gets SIGTERM, and as much time as the app had; who is left then is killed and named. The next
  generation waits for that: it may need the port that a helper holds, and a worker that shares the
  app's socket would answer with old code. Where nobody is left it costs nothing: the reaping looks
  anyway. `DEVLAUNCH_KEEP=1` in a helper's environment spares it at restarts, when a part of the run
  ends (the mark `run.serial`); the end of the run, and the guardian, end it too.
- *A child may live on without its control channel* (`generation`): exec(3) has put another program
  in its place, as reloaders do that start their process anew, or it has closed every descriptor, as
  daemons do. Where code and stack begin tells these apart (proc_pid_stat(5)). From then on any
  source file counts and SIGTERM asks it to stop; an IDE that attaches hears that the next start is
  debugged. Where one is attached already, pydevd follows the exec.
"""

"""One run of devlaunch: wires the pure cores to the IO around them.

Begin with `program`: changes go in, its supervisor decides, its processes obey. `launcher` is the
host, which routes what happens to the programs of the run. Only the front (`cli`, `api`, `adapter`)
starts a run; nothing else imports this room.
"""

"""One run of devlaunch: wires the pure cores to the IO around them.

Begin with `launcher`: changes and signals go in, the supervisor decides, processes and debuggers
obey. Only the front (`cli`, `api`, `adapter`) starts a run; nothing else imports this room.
"""

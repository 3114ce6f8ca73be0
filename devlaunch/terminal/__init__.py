"""What people see, and who has the keyboard.

Begin with `console`, which words each line; `jobs` is job control (POSIX XBD 11.1), `stdout` the
front's own output.
"""

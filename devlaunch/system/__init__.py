"""All that differs by operating system, or touches it. The guardian starts through this package.

Begin with `seam`, which tells what a system has to give; `_posix` and `_windows` give it.
"""

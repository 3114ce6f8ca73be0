"""The standby's side: what a program will import is imported before it is asked for.

Begin with `standby`; `imports` is the finder that hands out what `stash` has put away.
"""

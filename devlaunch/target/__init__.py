"""What to run: from the words of a command line and a configuration file to a `Config`.

Begin with `words`, then `options` and `settings`. The front and the adapter read them; a run gets
the `Config`.
"""

"""What to run: from the words of a command line and a configuration file to a `Config`.

Begin with `commandline`, then `settings`; the options themselves are fields of `config.Config`. The
front and the adapter read them; a run gets the `Config`.
"""

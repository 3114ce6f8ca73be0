"""What to run: from the words of a command line and a configuration file to a `Config`.

Begin with `commandline`, then `settings`: each option is a field of `config.Config`, of which flag,
variable, key and help are made. Every mistake of a user's is found here, and said with the value
seen and what to do next. The front reads it all; a run gets the `Config`, and takes from here what
it looks at again (`interpreter`, `envfile`), `watching` and `debuggers` some names and defaults.
"""

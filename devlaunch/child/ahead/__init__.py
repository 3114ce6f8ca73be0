"""The standby's side: what a program will import is imported before it is asked for.

A reload should cost the import of the user's own modules, and nothing else; none of their code runs
here. Begin with `standby`; `imports` is the finder that notes what a program imports and hands out
what `stash` has put away, `contexts` what an import may depend on, `effects` what it does besides,
`safety` what it must not do. `bootstrap` imports this room.

- *What.* A root is imported in the context in which the app did: environment, sys.path, sys.argv
  and working directory as user code had changed them. What a library imports for itself comes with
  its root or, where the app had it earlier, in that earlier context. What a module puts into
  sys.modules by itself, as all that Cython compiles does, is a part of that module. The app's roots
  end a moment after it serves, when its first requests have imported what they need.
- *Invisibly.* Put away is: out of sys.modules, off the parents' attributes, effects taken back. So
  sys.modules holds what the app has imported and no more, `logging.config` disables no logger that
  is not there yet, and a forgotten `import xml.dom` fails as everywhere.
  tests/child/test_standby_packages.py compares all that for some twenty packages.
- *Only what is safe.* docs/how-it-works.md lists what is left to the app. What is unsafe is found
  out here: the standby is thrown away and made again without it. A child that refuses has run user
  code up to the import in question, which runs again in the cold one: so only until the app serves,
  or in a program's first seconds. After that the import, and all later ones, are made afresh.
- *What still differs*: a user's file that a library reads at its import (`matplotlibrc`), settings
  inside of a library's objects, and what C code prints at import, which comes as the standby warms.
- *Under a debugger* it connects first, so that pydevd's patches are there before any import, and
  then imports untraced, three to four times faster. Under PyCharm it loads pydevd, and connects
  when it is promoted.
"""

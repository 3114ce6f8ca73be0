"""`devlaunch init`: an editor's files for this project, and what becomes of those that are there.

Begin with `command`, then `editors`. Only `cli` imports this room. A file that is there belongs to
its owner: only VS Code's are merged with, since most projects have a launch.json; for others it is
printed what goes where. Run twice, the second time changes nothing.

- *JSON with comments by our own code* (`jsonc`): libraries that keep comments format anew what they
  cannot keep, are young, or bind a JavaScript parser, and each would be everybody's dependency for
  a command that runs once in a project.
- *YAML is neither read nor edited*: Compose and kubectl merge a file of ours by themselves. The
  Dockerfile's WORKDIR is read: with a wrong one no breakpoint is hit, and nothing says so.
- *The app is found by `ast`*: what a file's imports need on the path tells where it is from.
"""

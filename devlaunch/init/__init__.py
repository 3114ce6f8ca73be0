"""`devlaunch init`, an editor's files for this project. Begin with `command`; `cli` imports it.

VS Code's are merged into those that are there; any other that is there is its owner's to edit.
"""

"""What was touched on the disk; `core.changes` decides what of it counts.

Begin with `reloading`, which joins the two; `watcher` keeps a picture of the tree (`tree`,
`entries`) true by the OS's events (`backends`, `inotify`), and looks itself where there are none
(`mounts`). Only a run imports this room.
"""

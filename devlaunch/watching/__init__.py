"""What was touched on the disk; `core.changes` decides what of it counts.

Begin with `reloading`, which joins the two; `watcher` keeps a picture of the tree (`tree`,
`entries`) true by the OS's events (`backends`, `inotify`, `windows`), and looks itself where there
are none (`mounts`). All questions to the disk are in `disk`. Only a run imports this room.
"""

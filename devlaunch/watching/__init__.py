"""What was touched on the disk; `core.changes` decides what of it counts.

Begin with `reloading`, which joins the two; `watcher` keeps a picture of the tree (`tree`,
`entries`) true by the OS's events (`backends`, `inotify`, `windows`), and looks itself where there
are none (`mounts`); all questions to the disk are in `disk`. A run imports this room, `doctor`
watches as a run does, and `target` reads by `disk`.

- *Directory by directory*: ignored trees are never entered, so the number of watches does not
  depend on them; with `-v` their tops are watched, to say why a save there does nothing.
- *Once a second a look* at what no event tells: a directory that goes while some process works in
  it, and another one in the place of the working directory or the project's, which is a change
  whatever lies in it, since the app stays in the one that was removed.
- *Events may be lost*: an overflow leads to a comparison with the picture, a refused watch or a
  file system without events to polling with the same comparison.
"""

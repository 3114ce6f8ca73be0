"""`devlaunch init`: an editor's files for this project, merged into those that are there."""

"""The parts of `devlaunch.watch`: a picture of the tree, the OS's events, silent file systems."""

"""`devlaunch adapter`: the debug adapter that an editor starts, and that starts devlaunch."""

VARIABLE = "DEVLAUNCH_ADAPTER"
"""Names the file by which a launcher finds the adapter that has started it (`link`)."""

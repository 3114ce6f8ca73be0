"""`devlaunch adapter`: the debug adapter that an editor starts, and that starts devlaunch."""

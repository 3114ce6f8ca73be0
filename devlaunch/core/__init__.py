"""The pure core: no os, time, socket, threading or subprocess; time is an argument."""

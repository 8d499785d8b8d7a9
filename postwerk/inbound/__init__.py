"""Mail that comes back: taken in, read in a process that may be killed, and drawn conclusions from."""

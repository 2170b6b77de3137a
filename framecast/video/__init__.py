"""Reading and writing clips: one file per family; `read` and `write` pick."""

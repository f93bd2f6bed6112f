"""Where an expression shows: AU cues as maps of the face, and what a network looked at."""

"""streamfer: video of faces in, a timeline of facial action out that can be checked."""

__version__ = "0.1.0"

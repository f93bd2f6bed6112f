"""Clips of faces with planted movements of known onset, apex and offset: see README.md in this folder."""

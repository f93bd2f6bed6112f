"""Scores under the field's protocols. Records in, numbers out: nothing here reads or writes files."""

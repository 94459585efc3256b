"""Bytes on the disk and blocks in memory: files that are read, and scores that are kept."""

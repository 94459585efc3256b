"""Logits in files and folders, by a short name: ``from rad_fast.readers import open_shards``."""

from __future__ import annotations

from .storage.readers import Shards, open_shards

__all__ = ["Shards", "open_shards"]

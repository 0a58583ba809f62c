"""Sessions on disk: an append-only record of every change, snapshots, and the way back."""

"""What belongs to the window as a whole: keys, notices, preferences, spare time."""

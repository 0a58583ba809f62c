"""Public data sets as they are unzipped: one small reader a layout, and one list of them."""

"""Mouse and keys over the picture: tools, what gestures mean, and what is drawn for them."""

"""Two readers of one picture: where they agree, how well, and every place where they do not."""

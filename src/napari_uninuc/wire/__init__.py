"""What server and client say to each other over HTTP; the only part that both import."""

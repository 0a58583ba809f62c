"""The command ``uninuc``: one group, one file a command; heavy imports wait for their command."""

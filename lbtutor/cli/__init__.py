"""The command line: one file a family of commands, and nothing heavy imported before a command needs it."""

"""The command line: set-up, arguments, and one module per sub-command. Nothing below imports it."""

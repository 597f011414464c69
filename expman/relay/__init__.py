"""The relay: a process that passes on what a program prints, and records it."""

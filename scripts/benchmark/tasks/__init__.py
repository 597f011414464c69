"""What is measured: each module's `run(contestant, directory, params)` returns plain JSON.

It runs in a child process, in the contestant's environment.
"""

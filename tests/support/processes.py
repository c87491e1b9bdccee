"""Ending what a test has started."""

import subprocess


def end(process: subprocess.Popen) -> None:
    """Ask a process to end, and kill it where it has not within ten seconds."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""What `python3 launch.py` does to set up and run Lumina-Next; standard library only."""

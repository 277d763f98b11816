"""The parts of `demo.py`: where the models run, what is asked, each framework's steps, and how it is told."""

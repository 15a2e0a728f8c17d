"""For every test of the project and its plugins."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks are faster on one core, and so are processes started here

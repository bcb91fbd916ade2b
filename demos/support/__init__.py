"""What the demos share. Not for reading first: begin with `demos/mnist.py`."""

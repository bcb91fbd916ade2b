"""Keeps the memory of one step for the next. Nothing about variational autoencoders: pass it by.

glibc hands large arrays straight back to the system when they are freed, so that the temporaries of
every step are mapped, zeroed and faulted in anew. Freeing one block just under its 32 MB ceiling
raises the size from which it does so; the second block lies where the temporaries will, and numpy
asks for huge pages there. It is for the bare script: a program that has freed large arrays before
it trains, as the main job has, gains nothing. A bare script's step took 0.91 of the time with it.
"""

import numpy as np

for _ in range(2):
    _block = np.empty((32 << 20) - (64 << 10), np.uint8)
    del _block

"""Loops in C for what torch has no fast operation for; where they were not compiled, torch's operations do the same.

``pip install`` compiles them if it finds a C compiler. They are called by ctypes, which lets other threads of Python
run meanwhile, and use the threads of torch's own OpenMP: threads of a second one would wait on the same cores.
"""

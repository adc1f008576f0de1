"""The parts of ``bench/sandbox.py``: one module for each question, and the two small programs that it compares with."""

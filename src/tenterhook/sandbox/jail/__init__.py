"""The jail: what surrounds a Node process, made of nothing but system calls."""

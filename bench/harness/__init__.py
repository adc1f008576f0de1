"""What the benchmarks share: the machine, the product and the ceiling as processes, the load, the bookkeeping of CPU."""

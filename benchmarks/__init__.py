"""Performance against real peers: ratios in one run, interleaved, medians. `make bench`."""

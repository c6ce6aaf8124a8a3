"""Floor 4, the edge below: disks, databases, codecs. Each back end proves itself on the contract test of its port."""

"""Floor 4, an edge: the DICOM message services over TCP, one module per service, both roles in it."""

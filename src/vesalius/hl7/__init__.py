"""Floor 4, an edge: HL7 v2 over MLLP, in and out."""

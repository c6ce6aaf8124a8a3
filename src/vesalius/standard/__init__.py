"""Floor 0: the tables of DICOM, pinned to an edition of the standard. Data and look-ups, no rules."""

"""FHIR R4 over the workflow and the archive: read and search, and orders that are placed (issue of HL7 FHIR 4.0.1)."""

"""Segments and fields of HL7 v2.5.1 by name (chapters 2 to 10), as far as an imaging department meets them.

For people who read a message: `name_of("PID", 5)` is "Patient Name". What is in no list is shown by its number.
"""

from __future__ import annotations

SEGMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "MSH": (
        "Message Header",
        (
            "Field Separator", "Encoding Characters", "Sending Application", "Sending Facility",
            "Receiving Application", "Receiving Facility", "Date/Time Of Message", "Security", "Message Type",
            "Message Control ID", "Processing ID", "Version ID", "Sequence Number", "Continuation Pointer",
            "Accept Acknowledgment Type", "Application Acknowledgment Type", "Country Code", "Character Set",
            "Principal Language Of Message", "Alternate Character Set Handling Scheme", "Message Profile Identifier",
        ),
    ),
    "MSA": (
        "Message Acknowledgment",
        (
            "Acknowledgment Code", "Message Control ID", "Text Message", "Expected Sequence Number",
            "Delayed Acknowledgment Type", "Error Condition",
        ),
    ),
    "ERR": (
        "Error",
        (
            "Error Code and Location", "Error Location", "HL7 Error Code", "Severity", "Application Error Code",
            "Application Error Parameter", "Diagnostic Information", "User Message", "Inform Person Indicator",
            "Override Type", "Override Reason Code", "Help Desk Contact Point",
        ),
    ),
    "EVN": (
        "Event Type",
        (
            "Event Type Code", "Recorded Date/Time", "Date/Time Planned Event", "Event Reason Code", "Operator ID",
            "Event Occurred", "Event Facility",
        ),
    ),
    "PID": (
        "Patient Identification",
        (
            "Set ID", "Patient ID", "Patient Identifier List", "Alternate Patient ID", "Patient Name",
            "Mother's Maiden Name", "Date/Time of Birth", "Administrative Sex", "Patient Alias", "Race",
            "Patient Address", "County Code", "Phone Number - Home", "Phone Number - Business", "Primary Language",
            "Marital Status", "Religion", "Patient Account Number", "SSN Number", "Driver's License Number",
            "Mother's Identifier", "Ethnic Group", "Birth Place", "Multiple Birth Indicator", "Birth Order",
            "Citizenship", "Veterans Military Status", "Nationality", "Patient Death Date and Time",
            "Patient Death Indicator", "Identity Unknown Indicator", "Identity Reliability Code",
            "Last Update Date/Time", "Last Update Facility", "Species Code", "Breed Code", "Strain",
            "Production Class Code", "Tribal Citizenship",
        ),
    ),
    "PD1": (
        "Patient Additional Demographic",
        (
            "Living Dependency", "Living Arrangement", "Patient Primary Facility", "Primary Care Provider",
            "Student Indicator", "Handicap", "Living Will Code", "Organ Donor Code", "Separate Bill",
            "Duplicate Patient", "Publicity Code", "Protection Indicator",
        ),
    ),
    "MRG": (
        "Merge Patient Information",
        (
            "Prior Patient Identifier List", "Prior Alternate Patient ID", "Prior Patient Account Number",
            "Prior Patient ID", "Prior Visit Number", "Prior Alternate Visit ID", "Prior Patient Name",
        ),
    ),
    "NK1": (
        "Next of Kin",
        ("Set ID", "Name", "Relationship", "Address", "Phone Number", "Business Phone Number", "Contact Role"),
    ),
    "PV1": (
        "Patient Visit",
        (
            "Set ID", "Patient Class", "Assigned Patient Location", "Admission Type", "Preadmit Number",
            "Prior Patient Location", "Attending Doctor", "Referring Doctor", "Consulting Doctor", "Hospital Service",
            "Temporary Location", "Preadmit Test Indicator", "Re-admission Indicator", "Admit Source",
            "Ambulatory Status", "VIP Indicator", "Admitting Doctor", "Patient Type", "Visit Number",
            "Financial Class", "Charge Price Indicator", "Courtesy Code", "Credit Rating", "Contract Code",
            "Contract Effective Date", "Contract Amount", "Contract Period", "Interest Code",
            "Transfer to Bad Debt Code", "Transfer to Bad Debt Date", "Bad Debt Agency Code",
            "Bad Debt Transfer Amount", "Bad Debt Recovery Amount", "Delete Account Indicator",
            "Delete Account Date", "Discharge Disposition", "Discharged to Location", "Diet Type",
            "Servicing Facility", "Bed Status", "Account Status", "Pending Location", "Prior Temporary Location",
            "Admit Date/Time", "Discharge Date/Time", "Current Patient Balance", "Total Charges",
            "Total Adjustments", "Total Payments", "Alternate Visit ID", "Visit Indicator", "Other Healthcare Provider",
        ),
    ),
    "PV2": (
        "Patient Visit - Additional",
        (
            "Prior Pending Location", "Accommodation Code", "Admit Reason", "Transfer Reason", "Patient Valuables",
            "Patient Valuables Location", "Visit User Code", "Expected Admit Date/Time", "Expected Discharge Date/Time",
        ),
    ),
    "AL1": (
        "Patient Allergy",
        (
            "Set ID", "Allergen Type Code", "Allergen Code/Mnemonic/Description", "Allergy Severity Code",
            "Allergy Reaction Code", "Identification Date",
        ),
    ),
    "DG1": (
        "Diagnosis",
        (
            "Set ID", "Diagnosis Coding Method", "Diagnosis Code", "Diagnosis Description", "Diagnosis Date/Time",
            "Diagnosis Type",
        ),
    ),
    "ORC": (
        "Common Order",
        (
            "Order Control", "Placer Order Number", "Filler Order Number", "Placer Group Number", "Order Status",
            "Response Flag", "Quantity/Timing", "Parent", "Date/Time of Transaction", "Entered By", "Verified By",
            "Ordering Provider", "Enterer's Location", "Call Back Phone Number", "Order Effective Date/Time",
            "Order Control Code Reason", "Entering Organization", "Entering Device", "Action By",
            "Advanced Beneficiary Notice Code", "Ordering Facility Name", "Ordering Facility Address",
            "Ordering Facility Phone Number", "Ordering Provider Address", "Order Status Modifier",
        ),
    ),
    "OBR": (
        "Observation Request",
        (
            "Set ID", "Placer Order Number", "Filler Order Number", "Universal Service Identifier", "Priority",
            "Requested Date/Time", "Observation Date/Time", "Observation End Date/Time", "Collection Volume",
            "Collector Identifier", "Specimen Action Code", "Danger Code", "Relevant Clinical Information",
            "Specimen Received Date/Time", "Specimen Source", "Ordering Provider", "Order Callback Phone Number",
            "Placer Field 1", "Placer Field 2", "Filler Field 1", "Filler Field 2",
            "Results Rpt/Status Chng - Date/Time", "Charge to Practice", "Diagnostic Serv Sect ID", "Result Status",
            "Parent Result", "Quantity/Timing", "Result Copies To", "Parent", "Transportation Mode",
            "Reason for Study", "Principal Result Interpreter", "Assistant Result Interpreter", "Technician",
            "Transcriptionist", "Scheduled Date/Time", "Number of Sample Containers",
            "Transport Logistics of Collected Sample", "Collector's Comment", "Transport Arrangement Responsibility",
            "Transport Arranged", "Escort Required", "Planned Patient Transport Comment", "Procedure Code",
            "Procedure Code Modifier", "Placer Supplemental Service Information",
            "Filler Supplemental Service Information",
        ),
    ),
    "OBX": (
        "Observation/Result",
        (
            "Set ID", "Value Type", "Observation Identifier", "Observation Sub-ID", "Observation Value", "Units",
            "References Range", "Abnormal Flags", "Probability", "Nature of Abnormal Test",
            "Observation Result Status", "Effective Date of Reference Range", "User Defined Access Checks",
            "Date/Time of the Observation", "Producer's ID", "Responsible Observer", "Observation Method",
        ),
    ),
    "NTE": ("Notes and Comments", ("Set ID", "Source of Comment", "Comment", "Comment Type")),
    "TQ1": (
        "Timing/Quantity",
        (
            "Set ID", "Quantity", "Repeat Pattern", "Explicit Time", "Relative Time and Units", "Service Duration",
            "Start Date/Time", "End Date/Time", "Priority", "Condition Text", "Text Instruction", "Conjunction",
            "Occurrence Duration", "Total Occurrences",
        ),
    ),
    "IPC": (
        "Imaging Procedure Control",
        (
            "Accession Identifier", "Requested Procedure ID", "Study Instance UID", "Scheduled Procedure Step ID",
            "Modality", "Protocol Code", "Scheduled Station Name", "Scheduled Procedure Step Location",
            "Scheduled Station AE Title",
        ),
    ),
    "ZDS": ("Study Instance UID (IHE)", ("Study Instance UID",)),
    "SCH": (
        "Scheduling Activity",
        (
            "Placer Appointment ID", "Filler Appointment ID", "Occurrence Number", "Placer Group Number",
            "Schedule ID", "Event Reason", "Appointment Reason", "Appointment Type", "Appointment Duration",
            "Appointment Duration Units", "Appointment Timing Quantity", "Placer Contact Person",
            "Placer Contact Phone Number", "Placer Contact Address", "Placer Contact Location",
            "Filler Contact Person", "Filler Contact Phone Number", "Filler Contact Address",
            "Filler Contact Location", "Entered by Person", "Entered by Phone Number", "Entered by Location",
            "Parent Placer Appointment ID", "Parent Filler Appointment ID", "Filler Status Code",
            "Placer Order Number", "Filler Order Number",
        ),
    ),
    "RGS": ("Resource Group", ("Set ID", "Segment Action Code", "Resource Group ID")),
    "AIS": (
        "Appointment Information - Service",
        (
            "Set ID", "Segment Action Code", "Universal Service Identifier", "Start Date/Time",
            "Start Date/Time Offset",
            "Start Date/Time Offset Units", "Duration", "Duration Units", "Allow Substitution Code",
            "Filler Status Code",
        ),
    ),
    "AIL": (
        "Appointment Information - Location",
        ("Set ID", "Segment Action Code", "Location Resource ID", "Location Type", "Location Group"),
    ),
    "AIP": (
        "Appointment Information - Personnel",
        ("Set ID", "Segment Action Code", "Personnel Resource ID", "Resource Type", "Resource Group"),
    ),
    "AIG": (
        "Appointment Information - General Resource",
        ("Set ID", "Segment Action Code", "Resource ID", "Resource Type", "Resource Group"),
    ),
    "FT1": (
        "Financial Transaction",
        (
            "Set ID", "Transaction ID", "Transaction Batch ID", "Transaction Date", "Transaction Posting Date",
            "Transaction Type", "Transaction Code", "Transaction Description", "Transaction Description - Alt",
            "Transaction Quantity", "Transaction Amount - Extended", "Transaction Amount - Unit", "Department Code",
            "Insurance Plan ID", "Insurance Amount", "Assigned Patient Location", "Fee Schedule", "Patient Type",
            "Diagnosis Code", "Performed By Code", "Ordered By Code", "Unit Cost", "Filler Order Number",
            "Entered By Code", "Procedure Code", "Procedure Code Modifier",
        ),
    ),
    "QPD": ("Query Parameter Definition", ("Message Query Name", "Query Tag", "User Parameters")),
    "RCP": (
        "Response Control Parameter",
        ("Query Priority", "Quantity Limited Request", "Response Modality", "Execution and Delivery Time"),
    ),
    "QAK": (
        "Query Acknowledgment",
        (
            "Query Tag", "Query Response Status", "Message Query Name", "Hit Count Total", "This Payload",
            "Hits Remaining",
        ),
    ),
    "QRI": ("Query Response Instance", ("Candidate Confidence", "Match Reason Code", "Algorithm Descriptor")),
    "DSC": ("Continuation Pointer", ("Continuation Pointer", "Continuation Style")),
    "IN1": ("Insurance", ("Set ID", "Insurance Plan ID", "Insurance Company ID", "Insurance Company Name")),
    "GT1": ("Guarantor", ("Set ID", "Guarantor Number", "Guarantor Name", "Guarantor Spouse Name")),
}  # fmt: skip


def title_of(segment: str) -> str:
    """What a segment is called; empty where it is not known."""
    return SEGMENTS[segment][0] if segment in SEGMENTS else ""


def name_of(segment: str, field: int) -> str:
    """What a field is called; empty where it is not known."""
    names = SEGMENTS[segment][1] if segment in SEGMENTS else ()
    return names[field - 1] if 0 < field <= len(names) else ""

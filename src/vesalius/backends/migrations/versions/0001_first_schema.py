"""The first schema.

A frozen copy: it says what the tables were, whatever `model/attributes.py` says today.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _columns(names: str, kind: Any, **options: Any) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, **options) for name in names.split()]


def _texts(names: str) -> list[sa.Column[Any]]:
    return _columns(names, TEXT)


def _needed_texts(names: str) -> list[sa.Column[Any]]:
    return _columns(names, TEXT, nullable=False)


def _numbers(names: str) -> list[sa.Column[Any]]:
    return _columns(names, BIG)


def _counts(names: str) -> list[sa.Column[Any]]:
    return _columns(names, BIG, nullable=False, server_default="0")


def _needed_numbers(names: str) -> list[sa.Column[Any]]:
    return _columns(names, BIG, nullable=False, autoincrement=False)


def _reals(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.Double())


def _flags(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.SmallInteger(), nullable=False, server_default="0")


def _needed_small(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.SmallInteger(), nullable=False)


def _smalls(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.SmallInteger())


def _blobs(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.LargeBinary())


def _needed_blobs(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.LargeBinary(), nullable=False)


def _needed_whole(names: str) -> list[sa.Column[Any]]:
    return _columns(names, sa.Integer(), nullable=False)


def _row_id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def _ref(table: str, name: str, target: str) -> sa.Column[int]:
    return sa.Column(name, BIG, sa.ForeignKey(f"{target}.id", name=f"fk_{table}_{name}"), nullable=False)


def _present_index(table: str, column: str) -> None:
    present = sa.text(f"{column} IS NOT NULL")
    op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=present, postgresql_where=present)


def upgrade() -> None:
    """Forward only: an older Vesalius restores its own backup."""
    op.create_table(
        "damaged",
        *_needed_texts("pack"),
        *_needed_numbers("file_offset"),
        *_needed_texts("place"),
        sa.PrimaryKeyConstraint("pack", "file_offset", "place", name="pk_damaged"),
    )
    op.create_table(
        "meta",
        *_needed_texts("key value"),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.create_table(
        "nested",
        _row_id(),
        *_needed_small("level"),
        *_needed_numbers("owner sequence item tag"),
        *_needed_texts("value"),
        sa.PrimaryKeyConstraint("id", name="pk_nested"),
    )
    op.create_index("ix_nested_owner", "nested", ["level", "owner", "sequence", "item"])
    op.create_index("ix_nested_value", "nested", ["sequence", "tag", "value"])
    op.create_table(
        "note",
        _row_id(),
        *_needed_texts("at code"),
        *_needed_numbers("tag"),
        *_needed_texts("text study series sop_instance sender"),
        sa.PrimaryKeyConstraint("id", name="pk_note"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_note_study", "note", ["study", "code"])
    op.create_table(
        "outbox",
        _row_id(),
        *_needed_texts("kind study series sop_instance at sender"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pack",
        _row_id(),
        *_needed_texts("name"),
        sa.Column("state", TEXT, nullable=False, server_default="open"),
        *_counts("indexed_to size members dead_bytes"),
        *_needed_texts("sha256"),
        *_counts(
            """
            new_patients new_studies new_series new_instances new_conflicts new_notes new_bytes
            """
        ),
        sa.Column("by_modality", TEXT, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("id", name="pk_pack"),
        sa.UniqueConstraint("name", name="uq_pack_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pack_copy",
        *_needed_texts("pack place"),
        *_counts("copied_to"),
        *_needed_texts("verified_at"),
        sa.PrimaryKeyConstraint("pack", "place", name="pk_pack_copy"),
    )
    op.create_table(
        "patient",
        _row_id(),
        *_needed_texts("identity"),
        *_texts(
            """
            patient_id issuer_of_patient_id patient_name patient_name_folded
            patient_name_ideographic patient_name_phonetic patient_name_sounds type_of_patient_id
            patient_birth_date patient_birth_date_norm patient_birth_time patient_birth_time_norm
            patient_sex other_patient_ids other_patient_names other_patient_names_folded
            other_patient_names_ideographic other_patient_names_phonetic other_patient_names_sounds
            other_patient_ids_sequence patient_birth_name patient_birth_name_folded
            patient_birth_name_ideographic patient_birth_name_phonetic patient_birth_name_sounds
            patient_mother_birth_name patient_mother_birth_name_folded
            patient_mother_birth_name_ideographic patient_mother_birth_name_phonetic
            patient_mother_birth_name_sounds ethnic_group patient_comments
            patient_species_description patient_breed_description responsible_person
            responsible_person_folded responsible_person_ideographic responsible_person_phonetic
            responsible_person_sounds responsible_organization patient_identity_removed
            """
        ),
        *_counts(
            """
            number_of_patient_related_studies number_of_patient_related_series
            number_of_patient_related_instances
            """
        ),
        sa.PrimaryKeyConstraint("id", name="pk_patient"),
        sa.UniqueConstraint("identity", name="uq_patient_identity"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_patient_patient_birth_date_norm", "patient", ["patient_birth_date_norm"])
    op.create_index("ix_patient_patient_id", "patient", ["patient_id"])
    op.create_index("ix_patient_patient_name_folded", "patient", ["patient_name_folded"])
    _present_index("patient", "patient_name_ideographic")
    _present_index("patient", "patient_name_phonetic")
    op.create_table(
        "peer",
        *_needed_texts("name host"),
        *_needed_whole("port"),
        *_needed_texts("aet rights move_to"),
        *_flags("tls refuse_conflicts"),
        *_needed_texts("comment"),
        sa.PrimaryKeyConstraint("name", name="pk_peer"),
    )
    op.create_table(
        "study",
        _row_id(),
        _ref("study", "patient_ref", "patient"),
        *_needed_texts("study_instance_uid"),
        *_texts(
            """
            study_date study_date_norm study_date_utc study_time study_time_norm accession_number
            study_id issuer_of_accession_number_sequence referring_physician_name
            referring_physician_name_folded referring_physician_name_ideographic
            referring_physician_name_phonetic referring_physician_name_sounds
            consulting_physician_name consulting_physician_name_folded
            consulting_physician_name_ideographic consulting_physician_name_phonetic
            consulting_physician_name_sounds study_description procedure_code_sequence
            physicians_of_record physicians_of_record_folded physicians_of_record_ideographic
            physicians_of_record_phonetic physicians_of_record_sounds
            name_of_physicians_reading_study name_of_physicians_reading_study_folded
            name_of_physicians_reading_study_ideographic name_of_physicians_reading_study_phonetic
            name_of_physicians_reading_study_sounds admitting_diagnoses_description
            admitting_diagnoses_code_sequence referenced_study_sequence patient_age
            """
        ),
        *_reals("patient_size patient_weight"),
        *_texts("occupation additional_patient_history smoking_status"),
        *_numbers("pregnancy_status"),
        *_texts(
            """
            medical_alerts allergies admission_id requested_procedure_description
            requested_procedure_code_sequence requesting_physician requesting_physician_folded
            requesting_physician_ideographic requesting_physician_phonetic
            requesting_physician_sounds requesting_service
            reason_for_performed_procedure_code_sequence clinical_trial_protocol_id
            clinical_trial_subject_id timezone_offset_from_utc modalities_in_study
            sop_classes_in_study
            """
        ),
        *_counts("number_of_study_related_series number_of_study_related_instances"),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("study_instance_uid", name="uq_study_study_instance_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_study_accession_number", "study", ["accession_number"])
    op.create_index("ix_study_patient_ref", "study", ["patient_ref"])
    op.create_index("ix_study_referring_physician_name_folded", "study", ["referring_physician_name_folded"])
    _present_index("study", "referring_physician_name_ideographic")
    _present_index("study", "referring_physician_name_phonetic")
    op.create_index("ix_study_study_date_norm", "study", ["study_date_norm"])
    op.create_index("ix_study_study_id", "study", ["study_id"])
    op.create_table(
        "series",
        _row_id(),
        _ref("series", "study_ref", "study"),
        *_needed_texts("series_instance_uid"),
        *_texts("modality"),
        *_numbers("series_number"),
        *_texts(
            """
            series_date series_date_norm series_date_utc series_time series_time_norm
            series_description series_description_code_sequence presentation_intent_type
            manufacturer institution_name institution_code_sequence station_name
            institutional_department_name performing_physician_name performing_physician_name_folded
            performing_physician_name_ideographic performing_physician_name_phonetic
            performing_physician_name_sounds operators_name operators_name_folded
            operators_name_ideographic operators_name_phonetic operators_name_sounds
            manufacturer_model_name device_serial_number software_versions
            referenced_performed_procedure_step_sequence body_part_examined contrast_bolus_agent
            protocol_name patient_position anatomic_region_sequence laterality
            frame_of_reference_uid position_reference_indicator performed_procedure_step_start_date
            performed_procedure_step_start_date_norm performed_procedure_step_start_date_utc
            performed_procedure_step_start_time performed_procedure_step_start_time_norm
            performed_procedure_step_end_date performed_procedure_step_end_date_norm
            performed_procedure_step_end_date_utc performed_procedure_step_end_time
            performed_procedure_step_end_time_norm performed_procedure_step_id
            performed_procedure_step_description performed_protocol_code_sequence
            request_attributes_sequence
            """
        ),
        *_counts("number_of_series_related_instances"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("series_instance_uid", "study_ref", name="uq_series_series_instance_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_series_modality", "series", ["modality"])
    op.create_index(
        "ix_series_performed_procedure_step_start_date_norm", "series", ["performed_procedure_step_start_date_norm"]
    )
    op.create_index("ix_series_series_date_norm", "series", ["series_date_norm"])
    op.create_index("ix_series_study_ref", "series", ["study_ref"])
    op.create_table(
        "instance",
        _row_id(),
        _ref("instance", "series_ref", "series"),
        *_needed_small("rank"),
        *_flags("damaged"),
        _ref("instance", "pack_ref", "pack"),
        *_needed_numbers("header_offset file_offset file_length dataset_offset dataset_length"),
        *_needed_blobs("sha256"),
        *_numbers("pixel_tag pixel_offset pixel_length"),
        *_smalls("pixel_encapsulated"),
        *_blobs("frame_table"),
        *_needed_texts("how calling_aet called_aet address association received_at sop_instance_uid"),
        *_texts("sop_class_uid"),
        *_numbers("instance_number"),
        *_texts(
            """
            available_transfer_syntax_uid specific_character_set image_type instance_creation_date
            instance_creation_date_norm instance_creation_date_utc instance_creation_time
            instance_creation_time_norm acquisition_date acquisition_date_norm acquisition_date_utc
            content_date content_date_norm content_date_utc acquisition_date_time
            acquisition_date_time_norm acquisition_time acquisition_time_norm content_time
            content_time_norm referenced_series_sequence
            """
        ),
        *_reals("slice_thickness kvp spacing_between_slices"),
        *_numbers("x_ray_tube_current exposure"),
        *_texts(
            """
            imager_pixel_spacing view_position frame_acquisition_date_time
            frame_acquisition_date_time_norm
            """
        ),
        *_numbers("acquisition_number"),
        *_texts("image_position_patient image_orientation_patient image_laterality"),
        *_numbers("temporal_position_identifier"),
        *_reals("slice_location"),
        *_texts("image_comments"),
        *_numbers("samples_per_pixel"),
        *_texts("photometric_interpretation"),
        *_numbers("planar_configuration number_of_frames rows columns"),
        *_texts("pixel_spacing pixel_aspect_ratio"),
        *_numbers("bits_allocated bits_stored high_bit pixel_representation"),
        *_texts("burned_in_annotation window_center window_width"),
        *_reals("rescale_intercept rescale_slope"),
        *_texts(
            """
            rescale_type lossy_image_compression observation_date_time observation_date_time_norm
            concept_name_code_sequence referenced_request_sequence completion_flag verification_flag
            content_template_sequence document_title mime_type_of_encapsulated_document
            content_label content_description presentation_creation_date
            presentation_creation_date_norm presentation_creation_date_utc
            presentation_creation_time presentation_creation_time_norm content_creator_name
            content_creator_name_folded content_creator_name_ideographic
            content_creator_name_phonetic content_creator_name_sounds
            """
        ),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("sop_instance_uid", "rank", name="uq_instance_sop_instance_uid"),
    )
    op.create_index("ix_instance_pack", "instance", ["pack_ref", "file_offset"])
    op.create_index("ix_instance_series_ref", "instance", ["series_ref"])

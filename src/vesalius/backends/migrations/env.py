"""What Alembic runs: always on a connection that is handed over, inside the caller's transaction."""

from alembic import context

from vesalius.backends.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    # SQLite cannot alter most of a table in place: copy it.
    render_as_batch=True,
)
context.run_migrations()

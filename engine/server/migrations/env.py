"""Entry of Alembic: runs the migrations on the connection the server hands over."""

from alembic import context

from engine.server.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()

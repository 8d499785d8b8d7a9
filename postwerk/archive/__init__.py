"""What happened, kept: tables, migrations, the journal, and every SQL statement of the system."""

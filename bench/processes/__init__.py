"""Child processes: how they are started, heard and ended, whatever they do."""

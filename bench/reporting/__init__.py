"""Text, tables and pictures for readers. No arithmetic."""

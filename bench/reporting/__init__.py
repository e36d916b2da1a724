"""What people see: text, tables and pictures, without arithmetic."""

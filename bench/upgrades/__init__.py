"""Did an upgrade change anything? Snapshots of what is installed, and what changed
between two of them.
"""

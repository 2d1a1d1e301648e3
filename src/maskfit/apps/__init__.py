"""What people see and use: whole stories told with the rooms below."""

"""What people see: the live page. Passes on what others computed."""

"""What people see: a web server that passes on what others computed, and one static page."""

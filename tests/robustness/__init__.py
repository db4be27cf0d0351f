"""What users, disks and machines do to us: odd arguments, damaged files, killed processes. Each is a tool and a test."""

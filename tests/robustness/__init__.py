"""What users, disks and machines do to us: odd arguments, damaged files, killed processes. Tools, and light tests."""

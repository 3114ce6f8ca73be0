"""All that differs by operating system, or touches it. The guardian starts through this package."""

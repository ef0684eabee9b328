"""What `incidentfox doctor` looks at, one module for each part. Checks only read: they make, mend and start nothing."""

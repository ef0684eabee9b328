"""`incidentfox …`: one file per noun; speaks through the clients only."""

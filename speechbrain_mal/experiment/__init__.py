"""A comparison of systems over seeds, as steps that go on where they were stopped."""

"""Links to what runs work in the background; each is imported by the projects that use it."""

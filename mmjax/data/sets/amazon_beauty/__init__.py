"""Amazon Beauty as user sequences with titles, categories and text features; shipped."""

"""Amazon Beauty as user sequences with titles and categories; shipped."""

"""Amazon Toys and Games as user sequences with titles and categories; shipped."""

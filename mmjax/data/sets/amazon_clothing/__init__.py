"""Amazon Clothing with image and text features, read from the user's copy in the MMRec format."""

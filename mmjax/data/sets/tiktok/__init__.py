"""TikTok micro-videos in the version of MMSSL, with image and audio features; ships with mmjax."""

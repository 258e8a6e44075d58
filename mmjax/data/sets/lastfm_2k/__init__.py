"""Last.fm 2K (HetRec 2011) with text and audio features of the artists; ships with mmjax."""

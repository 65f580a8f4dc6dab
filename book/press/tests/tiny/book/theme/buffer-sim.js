// The tiny book has no simulator, only a place for one.

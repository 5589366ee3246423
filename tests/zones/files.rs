//! Files that change, break and are mended.

//! Names for conversations and updates.
